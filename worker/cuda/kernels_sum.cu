#include "worker/cuda/gradient_sums.h"
#include "worker/cuda/kernels.h"
#include "worker/cuda/launch.h"

namespace muster::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSquareBlocksOfBlock = kThreads / kSquareLanes;
constexpr std::int64_t kMostBlocks = 1024;
constexpr unsigned kAllLanes = 0xffffffffu;

Grid GridOver(std::int64_t length) {
  const std::int64_t blocks = (length + kThreads - 1) / kThreads;
  Grid grid;
  grid.blocks = static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
  grid.threads = kThreads;
  return grid;
}

__device__ Share ShareOfThread(std::int64_t length) {
  Share share;
  share.first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  share.stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  share.count = length;
  return share;
}

// Flags and maxima merge in any order. All threads of the warp take part.
__device__ void Tell(const Told& mine, MusterCudaTold* total) {
  const unsigned flags = __reduce_or_sync(kAllLanes, mine.flags);
  const unsigned max_abs = __reduce_max_sync(kAllLanes, mine.max_abs);
  if (threadIdx.x % 32 == 0) {
    if (flags != 0) atomicOr(&total->flags, flags);
    atomicMax(&total->max_abs, max_abs);
  }
}

__global__ void AddFloatsKernel(const float* gradient, float* sum, std::int64_t length,
                                MusterCudaTold* total) {
  Tell(AddFloats(gradient, sum, ShareOfThread(length)), total);
}

__global__ void LookKernel(const float* gradient, std::int64_t length, MusterCudaTold* total) {
  Tell(LookAtAll(gradient, ShareOfThread(length)), total);
}

// Half a warp does a block of the norm; blocks past the end are empty, and no thread is missing in
// a shuffle. The tree is TreeSum's over 16: neighbours first.
template <typename Sum>
__global__ void SquaresKernel(MusterCudaSums sums, double factor, double* blocks) {
  const std::int64_t block =
      static_cast<std::int64_t>(blockIdx.x) * kSquareBlocksOfBlock + threadIdx.x / kSquareLanes;
  const std::int64_t first = block * kSquareBlock;
  const std::int64_t end = first + kSquareBlock < sums.length ? first + kSquareBlock : sums.length;
  const int lane = static_cast<int>(threadIdx.x % kSquareLanes);
  double sum = SquareLane(static_cast<const Sum*>(sums.device_sums), factor, first, end, lane);
  for (int distance = 1; distance < kSquareLanes; distance *= 2) {
    sum = sum + __shfl_down_sync(kAllLanes, sum, distance, kSquareLanes);
  }
  if (lane == 0 && first < sums.length) blocks[block] = sum;
}

}  // namespace

cudaError_t LaunchAddFloats(cudaStream_t stream, const float* gradient, const MusterCudaSums& sums,
                            MusterCudaTold* told) {
  if (sums.length <= 0) return cudaSuccess;
  return Launch(AddFloatsKernel, GridOver(sums.length), stream, gradient,
                static_cast<float*>(sums.device_sums), sums.length, told);
}

cudaError_t LaunchLook(cudaStream_t stream, const float* gradient, std::int64_t length,
                       MusterCudaTold* told) {
  if (length <= 0) return cudaSuccess;
  return Launch(LookKernel, GridOver(length), stream, gradient, length, told);
}

cudaError_t LaunchSquares(cudaStream_t stream, const MusterCudaSums& sums, double factor,
                          double* blocks) {
  if (sums.length <= 0) return cudaSuccess;
  constexpr std::int64_t kEach = kSquareBlock * kSquareBlocksOfBlock;
  Grid grid;
  grid.blocks = static_cast<unsigned>((sums.length + kEach - 1) / kEach);
  grid.threads = kThreads;
  switch (sums.kind) {
    case MUSTER_CUDA_INT64:
      return Launch(SquaresKernel<std::int64_t>, grid, stream, sums, factor, blocks);
    case MUSTER_CUDA_INT32:
      return Launch(SquaresKernel<std::int32_t>, grid, stream, sums, factor, blocks);
    case MUSTER_CUDA_FLOAT:
      return Launch(SquaresKernel<float>, grid, stream, sums, factor, blocks);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace muster::cuda
