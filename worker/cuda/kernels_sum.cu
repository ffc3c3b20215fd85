#include "worker/cuda/gradient_sums.h"
#include "worker/cuda/grid.h"
#include "worker/cuda/kernels.h"
#include "worker/cuda/launch.h"

namespace muster::cuda {
namespace {

constexpr int kSquareBlocksOfBlock = kPassThreads / kSquareLanes;

__global__ void AddFloatsKernel(const float* gradient, float* sum, std::int64_t length,
                                MusterCudaTold* total) {
  MergeFlags(AddFloats(gradient, sum, MyShare(length)), total);
}

__global__ void LookKernel(const float* gradient, std::int64_t length, MusterCudaTold* total) {
  MergeFlags(LookAtAll(gradient, MyShare(length)), total);
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
    sum = sum + __shfl_down_sync(kWholeWarp, sum, distance, kSquareLanes);
  }
  if (lane == 0 && first < sums.length) blocks[block] = sum;
}

}  // namespace

cudaError_t LaunchAddFloats(cudaStream_t stream, const float* gradient, const MusterCudaSums& sums,
                            MusterCudaTold* told) {
  if (sums.length <= 0) return cudaSuccess;
  return Launch(AddFloatsKernel, GridFor(sums.length), stream, gradient,
                static_cast<float*>(sums.device_sums), sums.length, told);
}

cudaError_t LaunchLook(cudaStream_t stream, const float* gradient, std::int64_t length,
                       MusterCudaTold* told) {
  if (length <= 0) return cudaSuccess;
  return Launch(LookKernel, GridFor(length), stream, gradient, length, told);
}

cudaError_t LaunchSquares(cudaStream_t stream, const MusterCudaSums& sums, double factor,
                          double* blocks) {
  if (sums.length <= 0) return cudaSuccess;
  constexpr std::int64_t kEach = kSquareBlock * kSquareBlocksOfBlock;
  Grid grid;
  grid.blocks = static_cast<unsigned>((sums.length + kEach - 1) / kEach);
  grid.threads = kPassThreads;
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
