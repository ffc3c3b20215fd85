// Residual sum, dropout and LayerNorm in one pass over a row, and the way back. A warp does a row,
// a lane every 32nd group of four columns; the lanes' sums meet in a fixed tree.
#include <cmath>

#include "worker/cuda/kernels_gpt.h"

namespace muster::cuda {
namespace {

constexpr int kFusedThreads = 128;
constexpr int kRowsOfFusedBlock = kFusedThreads / 32;
constexpr float kEpsilon = 1e-5f;

// All lanes get the sum. Two lanes add the same two numbers at each width, so the same bits.
__device__ float SumOfWarp(float mine) {
  for (int width = 16; width >= 1; width /= 2) mine += __shfl_xor_sync(0xffffffffu, mine, width);
  return mine;
}

// Rows past the end have no columns: their threads come to every exchange and do nothing else.
struct WarpRow {
  std::int64_t row = 0, first = 0, width = 0;
};
__device__ WarpRow MyWarpRow(std::int64_t rows, std::int64_t width) {
  WarpRow mine;
  mine.row = static_cast<std::int64_t>(blockIdx.x) * kRowsOfFusedBlock + threadIdx.x / 32;
  mine.first = threadIdx.x % 32 * 4;
  mine.width = mine.row < rows ? width : 0;
  return mine;
}

__device__ void Load4(const Bf16* from, float* x) {
  const Bf16x4 quad = *reinterpret_cast<const Bf16x4*>(from);
  for (int j = 0; j < 4; ++j) x[j] = ToFloat(quad.at[j]);
}
__device__ void Store4(const float* x, Bf16* to) {
  Bf16x4 quad;
  for (int j = 0; j < 4; ++j) quad.at[j] = ToBf16(x[j]);
  *reinterpret_cast<Bf16x4*>(to) = quad;
}

// Columns [i, i + 4) of the row's stream; where there is a branch, they are made and stored.
__device__ void Stream4(const FusedNorm& n, std::int64_t at, float* x) {
  Load4(n.residual + at, x);
  if (n.branch == nullptr) return;
  float branch[4];
  Load4(n.branch + at, branch);
  Drop4(n.dropout, at, branch);
  for (int j = 0; j < 4; ++j) x[j] = Rounded(x[j] + branch[j]);
  Store4(x, n.stream + at);
}

__device__ void Norm4(const FusedNorm& n, const float* x, std::int64_t column, float mean,
                      float rstd, Bf16* y) {
  float out[4];
  for (int j = 0; j < 4; ++j) {
    out[j] = (x[j] - mean) * rstd * n.gain[column + j] + n.bias[column + j];
  }
  Store4(out, y);
}

__global__ void FusedNormKernel(FusedNorm n) {
  n.dropout = WithKey(n.dropout);
  const WarpRow my = MyWarpRow(n.rows, n.width);
  const std::int64_t row = my.row * n.width;
  const Bf16* const kept = n.branch == nullptr ? n.residual : n.stream;
  float x[4];
  float sum = 0;
  for (std::int64_t i = my.first; i < my.width; i += 128) {
    Stream4(n, row + i, x);
    sum += (x[0] + x[1]) + (x[2] + x[3]);
  }
  const float mean = SumOfWarp(sum) / static_cast<float>(n.width);
  float squares = 0;
  for (std::int64_t i = my.first; i < my.width; i += 128) {
    Load4(kept + row + i, x);
    for (int j = 0; j < 4; ++j) x[j] = (x[j] - mean) * (x[j] - mean);
    squares += (x[0] + x[1]) + (x[2] + x[3]);
  }
  const float variance = SumOfWarp(squares) / static_cast<float>(n.width);
  const float rstd = 1.0f / sqrtf(variance + kEpsilon);
  for (std::int64_t i = my.first; i < my.width; i += 128) {
    Load4(kept + row + i, x);
    Norm4(n, x, i, mean, rstd, n.y + row + i);
  }
  if (my.width != 0 && my.first == 0) {
    n.mean[my.row] = mean;
    n.rstd[my.row] = rstd;
  }
}

__global__ void NormAgainKernel(FusedNorm n) {
  const WarpRow my = MyWarpRow(n.rows, n.width);
  const std::int64_t row = my.row * n.width;
  float x[4];
  for (std::int64_t i = my.first; i < my.width; i += 128) {
    Load4(n.residual + row + i, x);
    Norm4(n, x, i, n.mean[my.row], n.rstd[my.row], n.y + row + i);
  }
}

// The normal values of four columns, and the gradient as the gain scales it.
struct Back4 {
  float normal[4], scaled[4];
};
__device__ Back4 LoadBack(const FusedNormBackward& n, std::int64_t row, std::int64_t column) {
  Back4 b;
  float dy[4];
  Load4(n.x + row * n.width + column, b.normal);
  Load4(n.dy + row * n.width + column, dy);
  for (int j = 0; j < 4; ++j) {
    b.normal[j] = (b.normal[j] - n.mean[row]) * n.rstd[row];
    b.scaled[j] = dy[j] * n.gain[column + j];
  }
  return b;
}

__global__ void FusedNormBackwardKernel(FusedNormBackward n) {
  n.dropout = WithKey(n.dropout);
  const WarpRow my = MyWarpRow(n.rows, n.width);
  float scaled = 0, products = 0;
  for (std::int64_t i = my.first; i < my.width; i += 128) {
    const Back4 b = LoadBack(n, my.row, i);
    scaled += (b.scaled[0] + b.scaled[1]) + (b.scaled[2] + b.scaled[3]);
    products += (b.scaled[0] * b.normal[0] + b.scaled[1] * b.normal[1]) +
                (b.scaled[2] * b.normal[2] + b.scaled[3] * b.normal[3]);
  }
  const float mean_scaled = SumOfWarp(scaled) / static_cast<float>(n.width);
  const float mean_product = SumOfWarp(products) / static_cast<float>(n.width);
  for (std::int64_t i = my.first; i < my.width; i += 128) {
    const Back4 b = LoadBack(n, my.row, i);
    const std::int64_t at = my.row * n.width + i;
    float d[4];
    for (int j = 0; j < 4; ++j) {
      const float passed =
          (b.scaled[j] - mean_scaled - b.normal[j] * mean_product) * n.rstd[my.row];
      d[j] = n.accumulate ? n.d_stream[at + j] + passed : passed;
      n.d_stream[at + j] = d[j];
    }
    if (n.d_branch == nullptr) continue;
    Drop4(n.dropout, at, d);
    Store4(d, n.d_branch + at);
  }
}

// A thread a column, a row of blocks a chunk: gains in the first half of the scratch.
__global__ void GainChunkKernel(FusedNormBackward n, std::int64_t bias_at) {
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= n.width) return;
  const std::int64_t first = blockIdx.y * kSumChunk;
  const std::int64_t end = first + kSumChunk < n.rows ? first + kSumChunk : n.rows;
  float gain = 0, bias = 0;
  for (std::int64_t r = first; r < end; ++r) {
    const float dy = ToFloat(n.dy[r * n.width + column]);
    gain += dy * ((ToFloat(n.x[r * n.width + column]) - n.mean[r]) * n.rstd[r]);
    bias += dy;
  }
  n.scratch[blockIdx.y * n.width + column] = gain;
  n.scratch[bias_at + blockIdx.y * n.width + column] = bias;
}

}  // namespace

cudaError_t LaunchFusedNorm(cudaStream_t stream, const FusedNorm& n) {
  return Launch(FusedNormKernel, Blocks(kFusedThreads, Parts(n.rows, kRowsOfFusedBlock)), stream,
                n);
}

cudaError_t LaunchNormAgain(cudaStream_t stream, const FusedNorm& n) {
  return Launch(NormAgainKernel, Blocks(kFusedThreads, Parts(n.rows, kRowsOfFusedBlock)), stream,
                n);
}

cudaError_t LaunchFusedNormBackward(cudaStream_t stream, const FusedNormBackward& n) {
  const std::int64_t chunks = Parts(n.rows, kSumChunk);
  const std::int64_t bias_at = ColumnScratch(n.rows, n.width);
  cudaError_t error = Launch(FusedNormBackwardKernel,
                             Blocks(kFusedThreads, Parts(n.rows, kRowsOfFusedBlock)), stream, n);
  if (error != cudaSuccess) return error;
  error = Launch(GainChunkKernel, Blocks(kFusedThreads, Parts(n.width, kFusedThreads), chunks),
                 stream, n, bias_at);
  if (error != cudaSuccess) return error;
  error = LaunchChunkSum(stream, n.scratch, chunks, n.width, n.d_gain);
  if (error != cudaSuccess) return error;
  return LaunchChunkSum(stream, n.scratch + bias_at, chunks, n.width, n.d_bias);
}

}  // namespace muster::cuda
