// The losses of a chunk of rows and their gradient, over the logits in place.
#include "worker/cuda/gelu.h"
#include "worker/cuda/kernels_gpt.h"

namespace muster::cuda {
namespace {

constexpr int kLossThreads = 256;

struct Larger {
  __device__ float operator()(float a, float b) const { return b > a ? b : a; }
};
struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};

// Over the block, by a tree; all threads get it.
template <typename Merge>
__device__ float OverBlock(float mine, float* shared, const Merge& merge) {
  const int i = static_cast<int>(threadIdx.x);
  shared[i] = mine;
  __syncthreads();
  for (int width = kLossThreads / 2; width >= 1; width /= 2) {
    if (i < width) shared[i] = merge(shared[i], shared[i + width]);
    __syncthreads();
  }
  const float all = shared[0];
  __syncthreads();
  return all;
}

// A block a row.
__global__ void HeadLossKernel(HeadLoss h) {
  __shared__ float shared[kLossThreads];
  Bf16* const x = h.logits + blockIdx.x * h.stride;
  const std::int64_t row = h.first_row + blockIdx.x;
  const std::int64_t target = h.tokens[row / h.context * (h.context + 1) + row % h.context + 1];
  const float logit = ToFloat(x[target]);  // before it is overwritten

  float mine = ToFloat(x[0]);
  for (std::int64_t i = threadIdx.x; i < h.vocabulary; i += kLossThreads) {
    mine = Larger()(mine, ToFloat(x[i]));
  }
  const float max = OverBlock(mine, shared, Larger());
  mine = 0;
  for (std::int64_t i = threadIdx.x; i < h.vocabulary; i += kLossThreads) {
    mine += Exp(ToFloat(x[i]) - max);
  }
  const float sum = OverBlock(mine, shared, Sum());
  if (threadIdx.x == 0) {
    h.losses[row] = Log(sum) - (static_cast<double>(logit) - static_cast<double>(max));
  }
  if (h.scale == 0.0f) return;
  const float factor = h.scale / sum;
  for (std::int64_t i = threadIdx.x; i < h.stride; i += kLossThreads) {
    float d = 0;
    if (i < h.vocabulary) {
      d = Exp(ToFloat(x[i]) - max) * factor;
      if (i == target) d -= h.scale;
    }
    x[i] = ToBf16(d);
  }
}

// One block: all of it reads, its first thread adds.
__global__ void LossSumKernel(const double* losses, std::int64_t rows, double* sum) {
  __shared__ double some[kLossThreads];
  double total = 0;
  for (std::int64_t first = 0; first < rows; first += kLossThreads) {
    if (first + threadIdx.x < rows) some[threadIdx.x] = losses[first + threadIdx.x];
    __syncthreads();
    for (std::int64_t i = 0; threadIdx.x == 0 && i < kLossThreads && first + i < rows; ++i) {
      total += some[i];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) *sum = total;
}

}  // namespace

cudaError_t LaunchHeadLoss(cudaStream_t stream, const HeadLoss& h) {
  return Launch(HeadLossKernel, Blocks(kLossThreads, h.rows), stream, h);
}

cudaError_t LaunchLossSum(cudaStream_t stream, const double* losses, std::int64_t rows,
                          double* sum) {
  return Launch(LossSumKernel, Blocks(kLossThreads, 1), stream, losses, rows, sum);
}

}  // namespace muster::cuda
