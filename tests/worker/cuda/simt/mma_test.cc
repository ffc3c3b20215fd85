// bfloat16, and tiles of 16x16 that a warp multiplies.
#include <cuda_bf16.h>
#include <mma.h>

#include <bit>
#include <cmath>
#include <limits>

#include "tests/worker/cuda/simt/fixture.h"
#include "worker/cuda/launch.h"

namespace muster::simt {
namespace {

namespace wmma = nvcuda::wmma;

class SimtMmaTest : public SimtTest {};

TEST_F(SimtMmaTest, AFloatRoundsToTheNearestBfloat16AndTiesToEven) {
  const struct {
    std::uint32_t bits;
    unsigned short rounded;
  } cases[] = {{0x3f800000u, 0x3f80}, {0x3f807fffu, 0x3f80}, {0x3f808000u, 0x3f80},
               {0x3f808001u, 0x3f81}, {0x3f818000u, 0x3f82}, {0x7f7fffffu, 0x7f80},
               {0x7f800000u, 0x7f80}, {0x7f800001u, 0x7fff}, {0xffc00000u, 0x7fff},
               {0x80000000u, 0x8000}, {0x00000001u, 0x0000}, {0x00018000u, 0x0002}};
  for (const auto& each : cases) {
    EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(std::bit_cast<float>(each.bits))),
              each.rounded)
        << each.bits;
  }
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = __bfloat162float(__ushort_as_bfloat16(static_cast<unsigned short>(bits)));
    if (std::isnan(value)) continue;
    EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(value)), bits);
  }
}

template <typename LayoutA, typename LayoutB>
__global__ void ProductKernel(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c, int depth) {
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, LayoutA> left;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, LayoutB> right;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum, old;
  wmma::fill_fragment(sum, 0.0f);
  const int tiles = depth / 16;
  for (int tile = 0; tile < tiles; ++tile) {
    const bool by_rows = std::is_same_v<LayoutA, wmma::row_major>;
    wmma::load_matrix_sync(left, a + tile * (by_rows ? 16 : 256),
                           by_rows ? static_cast<unsigned>(depth) : 16);
    const bool columns = std::is_same_v<LayoutB, wmma::col_major>;
    wmma::load_matrix_sync(right, b + tile * (columns ? 16 : 256),
                           columns ? static_cast<unsigned>(depth) : 16);
    wmma::mma_sync(sum, left, right, sum);
  }
  wmma::load_matrix_sync(old, c, 16, wmma::mem_row_major);
  for (int i = 0; i < sum.num_elements; ++i) sum.x[i] = sum.x[i] * 2 + old.x[i];
  wmma::store_matrix_sync(c, sum, 16, wmma::mem_row_major);
}

// Small integers: every sum is exact, whatever its order.
float Left(int row, int k) { return static_cast<float>((row * 7 + k * 3) % 11 - 5); }
float Right(int k, int column) { return static_cast<float>((k * 5 + column * 2) % 13 - 6); }

template <typename LayoutA, typename LayoutB>
void ExpectProduct() {
  constexpr int kDepth = 48;
  std::vector<__nv_bfloat16> a(16 * kDepth), b(16 * kDepth);
  std::vector<float> c(256), expected(256);
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < kDepth; ++k) {
      const bool by_rows = std::is_same_v<LayoutA, wmma::row_major>;
      const bool columns = std::is_same_v<LayoutB, wmma::col_major>;
      a[static_cast<std::size_t>(by_rows ? i * kDepth + k : k * 16 + i)] =
          __float2bfloat16_rn(Left(i, k));
      b[static_cast<std::size_t>(columns ? i * kDepth + k : k * 16 + i)] =
          __float2bfloat16_rn(Right(k, i));
    }
  }
  for (int i = 0; i < 256; ++i) {
    float sum = 0;
    for (int k = 0; k < kDepth; ++k) sum += Left(i / 16, k) * Right(k, i % 16);
    c[static_cast<std::size_t>(i)] = static_cast<float>(i);
    expected[static_cast<std::size_t>(i)] = sum * 2 + static_cast<float>(i);
  }
  for (const Settings& settings : AllOrders()) {
    Configure(settings);
    const DeviceArray<__nv_bfloat16> left(a), right(b);
    const DeviceArray<float> out(c);
    EXPECT_EQ(cuda::Launch(ProductKernel<LayoutA, LayoutB>, {1, 32}, nullptr, left.get(),
                           right.get(), out.get(), kDepth),
              cudaSuccess);
    EXPECT_EQ(out.Read(), expected);
  }
}

TEST_F(SimtMmaTest, AWarpMultipliesTilesInEachLayout) {
  ExpectProduct<wmma::row_major, wmma::col_major>();
  ExpectProduct<wmma::row_major, wmma::row_major>();
  ExpectProduct<wmma::col_major, wmma::col_major>();
  ExpectProduct<wmma::col_major, wmma::row_major>();
}

__global__ void StoreKernel(float* out, int offset, int stride, bool apart) {
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> tile;
  wmma::fill_fragment(tile, 1.0f);
  if (apart && threadIdx.x == 9) out += 8;
  wmma::store_matrix_sync(out + offset, tile, static_cast<unsigned>(stride), wmma::mem_col_major);
}

TEST_F(SimtMmaTest, ATileThatATensorCoreCannotTakeIsABreach) {
  const DeviceArray<float> out(std::vector<float>(1024));
  const auto store = [&](unsigned threads, int offset, int stride, bool apart) {
    return cuda::Launch(StoreKernel, {1, threads}, nullptr, out.get(), offset, stride, apart);
  };
  EXPECT_EQ(store(32, 8, 20, false), cudaSuccess);
  ExpectBreach(store(32, 4, 16, false), cudaErrorLaunchFailure,
               "thread .* at store_matrix_sync .*: the tile does not begin at a multiple of 32 .*");
  ExpectBreach(store(32, 0, 18, false), cudaErrorLaunchFailure,
               "thread .*: the stride is 18 elements, which is no multiple of 16 bytes");
  ExpectBreach(store(32, 0, 16, true), cudaErrorLaunchFailure,
               "thread .*: the threads of a warp name different tiles");
  ExpectBreach(store(16, 0, 16, false), cudaErrorLaunchFailure,
               "thread .*: the mask 0xffffffff names lane 16, which the block does not have");
}

}  // namespace
}  // namespace muster::simt
