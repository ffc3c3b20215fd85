// Element by element, and sums of columns over a tree of two levels.
#include "worker/cuda/gelu.h"
#include "worker/cuda/kernels_gpt.h"

namespace muster::cuda {
namespace {

constexpr int kElementThreads = 256;
constexpr std::int64_t kMostElementBlocks = 4096;

Grid ForQuads(std::int64_t count) {
  const std::int64_t blocks = Parts(count / 4, kElementThreads);
  return Blocks(kElementThreads, blocks < kMostElementBlocks ? blocks : kMostElementBlocks);
}

// do(i) for each fourth element i below count.
template <typename Do>
__device__ void EachQuad(std::int64_t count, const Do& work) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x * 4;
  std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * 4;
  for (; i < count; i += stride) work(i);
}

__device__ Bf16x4 Quad(const Bf16* from) { return *reinterpret_cast<const Bf16x4*>(from); }
__device__ void StoreQuad(const Bf16x4& quad, Bf16* to) { *reinterpret_cast<Bf16x4*>(to) = quad; }

__global__ void ToBf16Kernel(const float* from, Bf16* to, std::int64_t count) {
  EachQuad(count, [&](std::int64_t i) {
    Bf16x4 quad;
    for (int j = 0; j < 4; ++j) quad.at[j] = ToBf16(from[i + j]);
    StoreQuad(quad, to + i);
  });
}

__global__ void GeluKernel(const Bf16* pre, Bf16* out, std::int64_t count) {
  EachQuad(count, [&](std::int64_t i) {
    Bf16x4 quad = Quad(pre + i);
    for (int j = 0; j < 4; ++j) quad.at[j] = ToBf16(Gelu(ToFloat(quad.at[j])));
    StoreQuad(quad, out + i);
  });
}

__global__ void GeluBackwardKernel(const Bf16* pre, Bf16* d, std::int64_t count) {
  EachQuad(count, [&](std::int64_t i) {
    const Bf16x4 x = Quad(pre + i);
    Bf16x4 quad = Quad(d + i);
    for (int j = 0; j < 4; ++j) {
      quad.at[j] = ToBf16(GeluBackward(ToFloat(x.at[j]), ToFloat(quad.at[j])));
    }
    StoreQuad(quad, d + i);
  });
}

// A thread a column, a row of blocks a chunk.
__global__ void ColumnChunkKernel(const Bf16* x, std::int64_t rows, std::int64_t width,
                                  float* chunks) {
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= width) return;
  const std::int64_t first = blockIdx.y * kSumChunk;
  const std::int64_t end = first + kSumChunk < rows ? first + kSumChunk : rows;
  float sum = 0;
  for (std::int64_t r = first; r < end; ++r) sum += ToFloat(x[r * width + column]);
  chunks[blockIdx.y * width + column] = sum;
}

__global__ void ChunkSumKernel(const float* chunks, std::int64_t count, std::int64_t width,
                               float* sum) {
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= width) return;
  float total = 0;
  for (std::int64_t i = 0; i < count; ++i) total += chunks[i * width + column];
  sum[column] = total;
}

}  // namespace

cudaError_t LaunchToBf16(cudaStream_t stream, const float* from, Bf16* to, std::int64_t count) {
  return Launch(ToBf16Kernel, ForQuads(count), stream, from, to, count);
}

cudaError_t LaunchGelu(cudaStream_t stream, const Bf16* pre, Bf16* out, std::int64_t count) {
  return Launch(GeluKernel, ForQuads(count), stream, pre, out, count);
}

cudaError_t LaunchGeluBackward(cudaStream_t stream, const Bf16* pre, Bf16* d, std::int64_t count) {
  return Launch(GeluBackwardKernel, ForQuads(count), stream, pre, d, count);
}

cudaError_t LaunchColumnSum(cudaStream_t stream, const Bf16* x, std::int64_t rows,
                            std::int64_t width, float* scratch, float* sum) {
  const std::int64_t chunks = Parts(rows, kSumChunk);
  const cudaError_t error =
      Launch(ColumnChunkKernel, Blocks(kElementThreads, Parts(width, kElementThreads), chunks),
             stream, x, rows, width, scratch);
  return error != cudaSuccess ? error : LaunchChunkSum(stream, scratch, chunks, width, sum);
}

cudaError_t LaunchChunkSum(cudaStream_t stream, const float* chunks, std::int64_t count,
                           std::int64_t width, float* sum) {
  return Launch(ChunkSumKernel, Blocks(kElementThreads, Parts(width, kElementThreads)), stream,
                chunks, count, width, sum);
}

}  // namespace muster::cuda
