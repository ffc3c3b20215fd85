// Matrix products by tensor cores, without a library: a block makes 64 x 64 elements of c, four
// warps 32 x 32 each, over k in steps of 32.
//
// Sums run over k in ascending order whatever the grid is, so the bits of c depend on the shapes
// alone, as far as tensor cores of one kind add alike.
#include <mma.h>

#include "worker/cuda/context.h"
#include "worker/cuda/gelu.h"
#include "worker/cuda/kernels_gpt.h"

namespace muster::cuda {
namespace {

namespace wmma = nvcuda::wmma;

constexpr int kTile = 64;
constexpr int kDepth = 32;
constexpr int kMatmulThreads = 128;
constexpr int kPad = 8;  // rows of shared memory begin in different banks
constexpr int kOutStride = kTile + 4;
constexpr int kMostOfTile = kTile * (kDepth + kPad);  // > kDepth * (kTile + kPad)

__device__ const __nv_bfloat16* Cores(const Bf16* data) {
  return reinterpret_cast<const __nv_bfloat16*>(data);
}

// A tile of `rows` x `columns` as it lies in memory, zeros beyond the edge.
struct Edge {
  std::int64_t row = 0, column = 0;    // where the tile begins
  std::int64_t rows = 0, columns = 0;  // of the matrix
};
template <int kRows, int kColumns>
__device__ void LoadTile(const MatrixView& from, const Edge& edge, Bf16* to) {
  constexpr int kEach = 8;
  constexpr int kOctets = kRows * kColumns / kEach;
  for (int i = static_cast<int>(threadIdx.x); i < kOctets; i += kMatmulThreads) {
    const int row = i / (kColumns / kEach);
    const int column = i % (kColumns / kEach) * kEach;
    Bf16x8 octet = {};
    if (edge.row + row < edge.rows && edge.column + column < edge.columns) {
      octet = *reinterpret_cast<const Bf16x8*>(from.data + (edge.row + row) * from.stride +
                                               edge.column + column);
    }
    *reinterpret_cast<Bf16x8*>(to + row * (kColumns + kPad) + column) = octet;
  }
}

__device__ void Finish(const Product& p, std::int64_t row, std::int64_t column, float value) {
  const std::int64_t at = row * p.stride + column;
  if (p.c_float != nullptr) {
    p.c_float[at] = p.accumulate ? p.c_float[at] + value : value;
    return;
  }
  switch (p.epilogue) {
    case Epilogue::kNone:
      p.c[at] = ToBf16(value);
      return;
    case Epilogue::kBias:
      p.c[at] = ToBf16(value + ToFloat(p.bias[column]));
      return;
    case Epilogue::kBiasGelu: {
      // Of the pre-activation as it is kept: who makes it again from that gets the same.
      const Bf16 pre = ToBf16(value + ToFloat(p.bias[column]));
      p.pre[at] = pre;
      p.c[at] = ToBf16(Gelu(ToFloat(pre)));
      return;
    }
    case Epilogue::kGeluBackward:
      p.c[at] = ToBf16(GeluBackward(ToFloat(p.pre[at]), value));
      return;
  }
}

template <bool kTransposeA, bool kTransposeB>
__global__ void MatmulKernel(Product p) {
  alignas(32) __shared__ Bf16 a[kMostOfTile];
  alignas(32) __shared__ Bf16 b[kMostOfTile];
  alignas(32) __shared__ float c[kTile * kOutStride];
  using LayoutA = typename Choose<kTransposeA, wmma::col_major, wmma::row_major>::Type;
  using LayoutB = typename Choose<kTransposeB, wmma::col_major, wmma::row_major>::Type;
  constexpr int kStrideA = (kTransposeA ? kTile : kDepth) + kPad;
  constexpr int kStrideB = (kTransposeB ? kDepth : kTile) + kPad;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * kTile;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kTile;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_row = warp / 2 * 32, warp_column = warp % 2 * 32;

  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum[2][2];
  for (int i = 0; i < 4; ++i) wmma::fill_fragment(sum[i / 2][i % 2], 0.0f);
  for (std::int64_t k = 0; k < p.k; k += kDepth) {
    if (kTransposeA) {
      LoadTile<kDepth, kTile>(p.a, {k, row, p.k, p.m}, a);
    } else {
      LoadTile<kTile, kDepth>(p.a, {row, k, p.m, p.k}, a);
    }
    if (kTransposeB) {
      LoadTile<kTile, kDepth>(p.b, {column, k, p.n, p.k}, b);
    } else {
      LoadTile<kDepth, kTile>(p.b, {k, column, p.k, p.n}, b);
    }
    __syncthreads();
    for (int inner = 0; inner < kDepth; inner += 16) {
      wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, LayoutA> left[2];
      wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, LayoutB> right[2];
      for (int i = 0; i < 2; ++i) {
        const int m = warp_row + 16 * i, n = warp_column + 16 * i;
        const int at_a = kTransposeA ? inner * kStrideA + m : m * kStrideA + inner;
        const int at_b = kTransposeB ? n * kStrideB + inner : inner * kStrideB + n;
        wmma::load_matrix_sync(left[i], Cores(a + at_a), kStrideA);
        wmma::load_matrix_sync(right[i], Cores(b + at_b), kStrideB);
      }
      for (int i = 0; i < 4; ++i) {
        wmma::mma_sync(sum[i / 2][i % 2], left[i / 2], right[i % 2], sum[i / 2][i % 2]);
      }
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i) {
    float* const to = c + (warp_row + i / 2 * 16) * kOutStride + warp_column + i % 2 * 16;
    wmma::store_matrix_sync(to, sum[i / 2][i % 2], kOutStride, wmma::mem_row_major);
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kTile; i += kMatmulThreads) {
    const int r = i / kTile, n = i % kTile;
    if (row + r < p.m && column + n < p.n) Finish(p, row + r, column + n, c[r * kOutStride + n]);
  }
}

class OwnMultiplier final : public Multiplier {
 public:
  std::int32_t Multiply(void* stream, const Product& product, MusterCudaText message) override {
    if (const char* wrong = CheckProduct(product)) {
      return Complain(message, "matrix product", wrong);
    }
    return Say("launch of matmul", LaunchMatmul(static_cast<cudaStream_t>(stream), product),
               message);
  }
};

}  // namespace

cudaError_t LaunchMatmul(cudaStream_t stream, const Product& product) {
  const Grid grid = Blocks(kMatmulThreads, Parts(product.n, kTile), Parts(product.m, kTile));
  const int which = (product.a.transposed ? 2 : 0) + (product.b.transposed ? 1 : 0);
  switch (which) {
    case 0:
      return Launch(MatmulKernel<false, false>, grid, stream, product);
    case 1:
      return Launch(MatmulKernel<false, true>, grid, stream, product);
    case 2:
      return Launch(MatmulKernel<true, false>, grid, stream, product);
    default:
      return Launch(MatmulKernel<true, true>, grid, stream, product);
  }
}

std::unique_ptr<Multiplier> MakeOwnMultiplier() { return std::make_unique<OwnMultiplier>(); }

}  // namespace muster::cuda
