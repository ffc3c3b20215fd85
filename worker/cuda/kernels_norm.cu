// Half a warp does a row: lane by lane worker/cuda/layer_norm.h, and the tree over lanes by
// shuffles.
#include "worker/cuda/kernels.h"
#include "worker/cuda/launch.h"
#include "worker/cuda/layer_norm.h"

namespace muster::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRowsOfBlock = kThreads / kNormLanes;
constexpr unsigned kAllLanes = 0xffffffffu;

// The same tree as TreeOfLanes: lane i takes what lane i + width has. All 32 threads of the warp
// take part, and all lanes of a row get the result.
__device__ float SumOverLanes(float mine) {
  for (int width = kNormLanes / 2; width >= 1; width /= 2) {
    mine += __shfl_down_sync(kAllLanes, mine, width, kNormLanes);
  }
  return __shfl_sync(kAllLanes, mine, 0, kNormLanes);
}

// Rows past the end have no width: they read and write nothing, and yet no thread of a warp is
// missing in a shuffle.
struct MyRow {
  std::int64_t row = 0;
  std::int64_t width = 0;
  int lane = 0;
};
__device__ MyRow FindRow(const MusterCudaNorm& norm) {
  MyRow mine;
  mine.row = static_cast<std::int64_t>(blockIdx.x) * kRowsOfBlock + threadIdx.x / kNormLanes;
  mine.width = mine.row < norm.rows ? norm.width : 0;
  mine.lane = static_cast<int>(threadIdx.x % kNormLanes);
  return mine;
}

__global__ void ForwardKernel(MusterCudaNorm norm) {
  const MyRow my = FindRow(norm);
  const std::int64_t n = my.width;
  float* const stream = norm.stream + my.row * n;
  const float* const branch = norm.branch == nullptr ? nullptr : norm.branch + my.row * n;
  const float mean = SumOverLanes(AddLane(my.lane, n, branch, stream)) / static_cast<float>(n);
  const float rstd = NormRstd(SumOverLanes(VarianceLane(my.lane, n, stream, mean)), n);
  if (n == 0) return;
  NormWeights weights;
  weights.gain = norm.gain;
  weights.bias = norm.bias;
  NormLane(my.lane, n, stream, weights, mean, rstd, norm.y + my.row * n);
  if (my.lane == 0) {
    norm.mean[my.row] = mean;
    norm.rstd[my.row] = rstd;
  }
}

__global__ void BackwardKernel(MusterCudaNorm norm) {
  const MyRow my = FindRow(norm);
  const std::int64_t n = my.width;
  NormRow row;
  row.x = norm.stream + my.row * n;
  row.gain = norm.gain;
  row.dy = norm.dy + my.row * n;
  if (n != 0) {
    row.mean = norm.mean[my.row];
    row.rstd = norm.rstd[my.row];
  }
  const float count = static_cast<float>(n);
  const float a = SumOverLanes(ScaledLane(my.lane, n, row)) / count;
  const float b = SumOverLanes(ProductLane(my.lane, n, row)) / count;
  BackwardLane(my.lane, n, row, a, b, norm.dx + my.row * n);
}

__global__ void ColumnsKernel(MusterCudaNorm norm) {
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= norm.width) return;
  NormColumns all;
  all.x = norm.stream;
  all.dy = norm.dy;
  all.mean = norm.mean;
  all.rstd = norm.rstd;
  all.rows = norm.rows;
  all.width = norm.width;
  NormColumn(all, column, norm.dgain, norm.dbias);
}

Grid GridOf(std::int64_t count, int each) {
  Grid grid;
  grid.blocks = static_cast<unsigned>((count + each - 1) / each);
  grid.threads = kThreads;
  return grid;
}

}  // namespace

cudaError_t LaunchNormForward(cudaStream_t stream, const MusterCudaNorm& norm) {
  if (norm.rows <= 0 || norm.width <= 0) return cudaSuccess;
  return Launch(ForwardKernel, GridOf(norm.rows, kRowsOfBlock), stream, norm);
}

cudaError_t LaunchNormBackward(cudaStream_t stream, const MusterCudaNorm& norm) {
  if (norm.rows <= 0 || norm.width <= 0) return cudaSuccess;
  const cudaError_t error = Launch(BackwardKernel, GridOf(norm.rows, kRowsOfBlock), stream, norm);
  if (error != cudaSuccess) return error;
  return Launch(ColumnsKernel, GridOf(norm.width, kThreads), stream, norm);
}

}  // namespace muster::cuda
