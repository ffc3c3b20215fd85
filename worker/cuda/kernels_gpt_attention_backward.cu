// The way back through attention. Weights are made again from the scores and the kept log of the
// sum of exponentials. Two kernels, so that no sum is shared between blocks: one over blocks of
// queries for dQ, one over blocks of keys for dK and dV; each adds its blocks in ascending order.
#include "worker/cuda/attention_tiles.h"
#include "worker/cuda/gelu.h"

namespace muster::cuda {
namespace {

// d_dot = the row sum of d_out x out: a thread a row and head, in order of columns.
__global__ void DotKernel(AttentionPass a) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= a.batch * a.heads * a.context) return;
  const std::int64_t size = a.width / a.heads;
  const std::int64_t t = i % a.context, head = i / a.context % a.heads;
  const std::int64_t row = i / a.context / a.heads * a.context + t;
  const std::int64_t at = row * a.width + head * size;
  float sum = 0;
  for (std::int64_t j = 0; j < size; ++j) sum += ToFloat(a.d_out[at + j]) * ToFloat(a.out[at + j]);
  a.d_dot[i] = sum;
}

// Of one pair of a block of queries and a block of keys, in place: scores become weights, and
// gradients of weights become gradients of scores, both as tensor cores take them.
struct Pair {
  const float* scores = nullptr;
  const float* d_weights = nullptr;
  Bf16* weights = nullptr;  // null: not needed
  Bf16* d_scores = nullptr;
};
__device__ void ScoreGradients(const AttentionPass& a, const Head& head, std::int64_t query,
                               std::int64_t key, float scale, const Pair& pair) {
  for (int i = static_cast<int>(threadIdx.x); i < kScores; i += kAttentionThreads) {
    const std::int64_t q = query + i / kAttentionRows, k = key + i % kAttentionRows;
    float weight = 0, d = 0;
    if (k <= q && q < head.context) {
      weight = Exp(pair.scores[i] * scale - a.lse[head.stat + q]);
      d = weight * (pair.d_weights[i] - a.d_dot[head.stat + q]) * scale;
    }
    if (pair.weights != nullptr) pair.weights[i] = ToBf16(weight);
    pair.d_scores[i] = ToBf16(d);
  }
}

template <int kSize>
__global__ void QueryKernel(AttentionPass a, float scale) {
  constexpr int kTileSize = kAttentionRows * kSize;
  alignas(32) __shared__ Bf16 q[kTileSize];
  alignas(32) __shared__ Bf16 d_out[kTileSize];
  alignas(32) __shared__ Bf16 moving[2 * kTileSize];  // keys and values; in the end the sums
  alignas(32) __shared__ float scores[kScores];
  alignas(32) __shared__ float d_weights[kScores];
  alignas(32) __shared__ Bf16 d_scores[kScores];
  Bf16* const k = moving;
  Bf16* const v = moving + kTileSize;
  const Head head = MyHead(a);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kAttentionRows;
  LoadRows<kSize>(head.q, head.stride, first, head.context, q);
  LoadRows<kSize>(a.d_out + head.out, a.width, first, head.context, d_out);
  tiles::Sums<kSize> sums;
  sums.Clear();
  Pair pair;
  pair.scores = scores;
  pair.d_weights = d_weights;
  pair.d_scores = d_scores;
  for (std::int64_t key = 0; key <= first; key += kAttentionRows) {
    LoadRows<kSize>(head.k, head.stride, key, head.context, k);
    LoadRows<kSize>(head.v, head.stride, key, head.context, v);
    __syncthreads();
    tiles::Scores<kSize>(q, k, scores);
    tiles::Scores<kSize>(d_out, v, d_weights);
    __syncthreads();
    ScoreGradients(a, head, first, key, scale, pair);
    __syncthreads();
    sums.template Add<false>(d_scores, k);
    __syncthreads();
  }
  float* const floats = reinterpret_cast<float*>(moving);
  sums.Store(floats);
  __syncthreads();
  StoreRows<kSize>(floats, first, head.context, a.d_qkv + head.qkv, head.stride);
}

template <int kSize>
__global__ void KeyKernel(AttentionPass a, float scale) {
  constexpr int kTileSize = kAttentionRows * kSize;
  alignas(32) __shared__ Bf16 k[kTileSize];
  alignas(32) __shared__ Bf16 v[kTileSize];
  alignas(32) __shared__ Bf16 moving[2 * kTileSize];  // queries and d_out; in the end the sums
  alignas(32) __shared__ float scores[kScores];
  alignas(32) __shared__ float d_weights[kScores];
  alignas(32) __shared__ Bf16 weights[kScores];
  alignas(32) __shared__ Bf16 d_scores[kScores];
  Bf16* const q = moving;
  Bf16* const d_out = moving + kTileSize;
  const Head head = MyHead(a);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kAttentionRows;
  LoadRows<kSize>(head.k, head.stride, first, head.context, k);
  LoadRows<kSize>(head.v, head.stride, first, head.context, v);
  tiles::Sums<kSize> d_k, d_v;
  d_k.Clear();
  d_v.Clear();
  Pair pair;
  pair.scores = scores;
  pair.d_weights = d_weights;
  pair.weights = weights;
  pair.d_scores = d_scores;
  for (std::int64_t query = first; query < head.context; query += kAttentionRows) {
    LoadRows<kSize>(head.q, head.stride, query, head.context, q);
    LoadRows<kSize>(a.d_out + head.out, a.width, query, head.context, d_out);
    __syncthreads();
    tiles::Scores<kSize>(q, k, scores);
    tiles::Scores<kSize>(d_out, v, d_weights);
    __syncthreads();
    ScoreGradients(a, head, query, first, scale, pair);
    __syncthreads();
    d_v.template Add<true>(weights, d_out);
    d_k.template Add<true>(d_scores, q);
    __syncthreads();
  }
  Bf16* const to = a.d_qkv + head.qkv;
  float* const floats = reinterpret_cast<float*>(moving);
  d_k.Store(floats);
  __syncthreads();
  StoreRows<kSize>(floats, first, head.context, to + a.width, head.stride);
  __syncthreads();
  d_v.Store(floats);
  __syncthreads();
  StoreRows<kSize>(floats, first, head.context, to + 2 * a.width, head.stride);
}

}  // namespace

cudaError_t LaunchAttentionBackward(cudaStream_t stream, const AttentionPass& a) {
  const std::int64_t rows = a.batch * a.heads * a.context;
  cudaError_t error =
      Launch(DotKernel, Blocks(kAttentionThreads, Parts(rows, kAttentionThreads)), stream, a);
  if (error != cudaSuccess) return error;
  const Grid grid = Blocks(kAttentionThreads, Parts(a.context, kAttentionRows), a.heads, a.batch);
  return ForHeadSize(a.width / a.heads, [&](auto size) {
    constexpr int kSize = decltype(size)::value;
    const cudaError_t keys = Launch(KeyKernel<kSize>, grid, stream, a, ScoreScale(a));
    return keys != cudaSuccess ? keys : Launch(QueryKernel<kSize>, grid, stream, a, ScoreScale(a));
  });
}

}  // namespace muster::cuda
