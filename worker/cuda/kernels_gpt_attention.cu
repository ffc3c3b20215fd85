// Causal attention forward: a block has 32 queries of one head and goes over the keys in blocks of
// 32, in ascending order, with the softmax made as it goes: the greatest score so far, the sum of
// exponentials and the weighted sum of values, which shrink when a greater score comes.
#include "worker/cuda/attention_tiles.h"
#include "worker/cuda/context.h"
#include "worker/cuda/gelu.h"

namespace muster::cuda {
namespace {

constexpr int kPartsOfRow = kAttentionThreads / kAttentionRows;  // threads of a row
constexpr int kKeysOfPart = kAttentionRows / kPartsOfRow;

// What the threads of a row know of it.
struct Online {
  float max, sum;
};

__device__ float MaxOfRow(float x) {
  for (int width = 1; width < kPartsOfRow; width *= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, x, width);
    x = other > x ? other : x;
  }
  return x;
}
__device__ float SumOfRow(float x) {
  for (int width = 1; width < kPartsOfRow; width *= 2) {
    x += __shfl_xor_sync(0xffffffffu, x, width);
  }
  return x;
}

// Weights of a block of keys from their scores; returns what the row's sums so far shrink by.
__device__ float Soften(const float* scores, float scale, std::int64_t query, std::int64_t key,
                        Online& row, Bf16* weights) {
  float max = row.max;
  for (int i = 0; i < kKeysOfPart; ++i) {
    const float score = scores[i] * scale;
    if (key + i <= query && score > max) max = score;
  }
  max = MaxOfRow(max);
  const float shrink = Exp(row.max - max);
  float sum = 0;
  for (int i = 0; i < kKeysOfPart; ++i) {
    const float weight = key + i <= query ? Exp(scores[i] * scale - max) : 0.0f;
    weights[i] = ToBf16(weight);
    sum += weight;
  }
  row.sum = row.sum * shrink + SumOfRow(sum);
  row.max = max;
  return shrink;
}

template <int kSize>
__global__ void AttentionKernel(AttentionPass a, float scale) {
  alignas(32) __shared__ Bf16 q[kAttentionRows * kSize];
  alignas(32) __shared__ Bf16 k[kAttentionRows * kSize];
  alignas(32) __shared__ Bf16 v[kAttentionRows * kSize];
  alignas(32) __shared__ Bf16 weights[kScores];
  alignas(32) __shared__ float scores[kScores];
  alignas(32) __shared__ float out[kAttentionRows * kSize];
  const Head head = MyHead(a);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kAttentionRows;
  const int r = static_cast<int>(threadIdx.x) / kPartsOfRow;
  const int part = static_cast<int>(threadIdx.x) % kPartsOfRow;
  Online row;
  row.max = -__builtin_inff();
  row.sum = 0;
  LoadRows<kSize>(head.q, head.stride, first, head.context, q);
  for (int i = static_cast<int>(threadIdx.x); i < kAttentionRows * kSize; i += kAttentionThreads) {
    out[i] = 0;
  }
  for (std::int64_t key = 0; key <= first; key += kAttentionRows) {
    LoadRows<kSize>(head.k, head.stride, key, head.context, k);
    LoadRows<kSize>(head.v, head.stride, key, head.context, v);
    __syncthreads();
    tiles::Scores<kSize>(q, k, scores);
    __syncthreads();
    const int at = r * kAttentionRows + part * kKeysOfPart;
    const float shrink =
        Soften(scores + at, scale, first + r, key + part * kKeysOfPart, row, weights + at);
    for (int i = part; i < kSize; i += kPartsOfRow) out[r * kSize + i] *= shrink;
    __syncthreads();
    tiles::Sums<kSize> sums;
    sums.Load(out);
    sums.template Add<false>(weights, v);
    sums.Store(out);
    __syncthreads();
  }
  for (int i = part; i < kSize; i += kPartsOfRow) out[r * kSize + i] /= row.sum;
  if (part == 0 && first + r < head.context) {
    a.lse[head.stat + first + r] = static_cast<float>(static_cast<double>(row.max) + Log(row.sum));
  }
  __syncthreads();
  StoreRows<kSize>(out, first, head.context, a.out + head.out, a.width);
}

class OwnAttention final : public Attention {
 public:
  std::int32_t Forward(void* stream, const AttentionPass& pass, MusterCudaText message) override {
    return Say("launch of attention", LaunchAttention(static_cast<cudaStream_t>(stream), pass),
               message);
  }
  std::int32_t Backward(void* stream, const AttentionPass& pass, MusterCudaText message) override {
    return Say("launch of attention_backward",
               LaunchAttentionBackward(static_cast<cudaStream_t>(stream), pass), message);
  }
};

}  // namespace

std::unique_ptr<Attention> MakeOwnAttention() { return std::make_unique<OwnAttention>(); }

cudaError_t LaunchAttention(cudaStream_t stream, const AttentionPass& a) {
  const Grid grid = Blocks(kAttentionThreads, Parts(a.context, kAttentionRows), a.heads, a.batch);
  return ForHeadSize(a.width / a.heads, [&](auto size) {
    return Launch(AttentionKernel<decltype(size)::value>, grid, stream, a, ScoreScale(a));
  });
}

}  // namespace muster::cuda
