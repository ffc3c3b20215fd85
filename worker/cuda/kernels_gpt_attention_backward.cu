// The way back through attention. Weights are made again from the scores and the kept log of the
// sum of exponentials. Two kernels, so that no sum is shared between blocks: one over blocks of
// queries for dQ, one over blocks of keys for dK and dV; each adds in ascending order.
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
  for (std::int64_t j = 0; j < size; j += 8) {
    const auto d_out = *reinterpret_cast<const Bf16x8*>(a.d_out + at + j);
    const auto out = *reinterpret_cast<const Bf16x8*>(a.out + at + j);
    for (int k = 0; k < 8; ++k) sum += ToFloat(d_out.at[k]) * ToFloat(out.at[k]);
  }
  a.d_dot[i] = sum;
}

constexpr int kScratchStride = kTileSide + 8;
constexpr int kScratch = kTileSide * kScratchStride;

// A warp's tiles of 16 x 16 in shared memory.
struct Scratch {
  float *scores, *d_weights;
  Bf16 *weights, *d_scores;
};

// Of one score: its weight, and the gradient of the score from that of the weight.
struct Weighed {
  float weight, d_score;
};
__device__ Weighed Weigh(float score, float d_weight, float scale, float lse, float dot) {
  Weighed w;
  w.weight = Exp(score * scale - lse);
  w.d_score = w.weight * (d_weight - dot) * scale;
  return w;
}

template <int kSize>
__global__ void __launch_bounds__(kAttentionThreads) QueryKernel(AttentionPass a, float scale) {
  constexpr int kKeys = kPieceRows<kSize>;
  alignas(32) __shared__ Bf16 pieces[kPieces<kSize>];
  alignas(32) __shared__ float floats[kAttentionWarps * 2 * kScratch];
  alignas(32) __shared__ Bf16 halves[kAttentionWarps * kScratch];
  Bf16* const k = pieces;
  Bf16* const v = pieces + kKeys * kRowStride<kSize>;
  Scratch my;
  my.scores = floats + WarpOfBlock() * 2 * kScratch;
  my.d_weights = my.scores + kScratch;
  my.d_scores = halves + WarpOfBlock() * kScratch;
  const Head head = MyHead(a);
  const std::int64_t first = FirstQueryOfBlock();
  const std::int64_t mine = first + WarpOfBlock() * kTileSide;
  const std::int64_t query = mine + RowOfLane();
  const bool wanted = query < head.context;
  tiles::Rows<kSize> q, d_out;
  LoadRows<kSize, kAttentionRows>(head.q, head.stride, first, head.context, pieces);
  __syncthreads();
  q.Load(pieces);
  __syncthreads();
  LoadRows<kSize, kAttentionRows>(a.d_out + head.out, a.width, first, head.context, pieces);
  __syncthreads();
  d_out.Load(pieces);
  const float lse = wanted ? a.lse[head.stat + query] : 0.0f;
  const float dot = wanted ? a.d_dot[head.stat + query] : 0.0f;
  tiles::Sums<kSize> d_q;
  d_q.Clear();
  const std::int64_t end =
      first + kAttentionRows < head.context ? first + kAttentionRows : head.context;
  const int at = RowOfLane() * kScratchStride + HalfOfLane() * 8;
  for (std::int64_t key = 0; key < end; key += kKeys) {
    __syncthreads();
    LoadRows<kSize, kKeys>(head.k, head.stride, key, head.context, k);
    LoadRows<kSize, kKeys>(head.v, head.stride, key, head.context, v);
    __syncthreads();
    // Tiles after the warp's last query are not looked at.
    for (int j = 0; j < kKeys && key + j < mine + kTileSide; j += kTileSide) {
      q.Times(k + j * kRowStride<kSize>, my.scores, kScratchStride);
      d_out.Times(v + j * kRowStride<kSize>, my.d_weights, kScratchStride);
      __syncwarp();
      const auto last = static_cast<int>(query - key) - j - HalfOfLane() * 8;
      Bf16x8 octet;
      for (int i = 0; i < 8; ++i) {
        const Weighed w = Weigh(my.scores[at + i], my.d_weights[at + i], scale, lse, dot);
        octet.at[i] = ToBf16(i <= last && wanted ? w.d_score : 0.0f);
      }
      *reinterpret_cast<Bf16x8*>(my.d_scores + at) = octet;
      __syncwarp();
      d_q.Add(my.d_scores, kScratchStride, k + j * kRowStride<kSize>);
    }
  }
  __syncwarp();
  d_q.Store(my.scores, kScratchStride, 1.0f, wanted, a.d_qkv + head.qkv + query * head.stride);
}

template <int kSize>
__global__ void __launch_bounds__(kAttentionThreads) KeyKernel(AttentionPass a, float scale) {
  constexpr int kQueries = kPieceRows<kSize>;
  alignas(32) __shared__ Bf16 pieces[kPieces<kSize>];
  alignas(32) __shared__ float floats[kAttentionWarps * 2 * kScratch];
  alignas(32) __shared__ Bf16 halves[kAttentionWarps * 2 * kScratch];
  __shared__ float lse[kQueries];
  __shared__ float dot[kQueries];
  Bf16* const q = pieces;
  Bf16* const d_out = pieces + kQueries * kRowStride<kSize>;
  Scratch my;
  my.scores = floats + WarpOfBlock() * 2 * kScratch;
  my.d_weights = my.scores + kScratch;
  my.weights = halves + WarpOfBlock() * 2 * kScratch;
  my.d_scores = my.weights + kScratch;
  const Head head = MyHead(a);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kAttentionRows;
  const std::int64_t mine = first + WarpOfBlock() * kTileSide;
  const std::int64_t key = mine + RowOfLane();
  tiles::Rows<kSize> k, v;
  LoadRows<kSize, kAttentionRows>(head.k, head.stride, first, head.context, pieces);
  __syncthreads();
  k.Load(pieces);
  __syncthreads();
  LoadRows<kSize, kAttentionRows>(head.v, head.stride, first, head.context, pieces);
  __syncthreads();
  v.Load(pieces);
  tiles::Sums<kSize> d_k, d_v;
  d_k.Clear();
  d_v.Clear();
  const int at = RowOfLane() * kScratchStride + HalfOfLane() * 8;
  for (std::int64_t query = first; query < head.context; query += kQueries) {
    __syncthreads();
    LoadRows<kSize, kQueries>(head.q, head.stride, query, head.context, q);
    LoadRows<kSize, kQueries>(a.d_out + head.out, a.width, query, head.context, d_out);
    for (int i = static_cast<int>(threadIdx.x); i < kQueries; i += kAttentionThreads) {
      const bool there = query + i < head.context;
      lse[i] = there ? a.lse[head.stat + query + i] : 0.0f;
      dot[i] = there ? a.d_dot[head.stat + query + i] : 0.0f;
    }
    __syncthreads();
    for (int j = 0; j < kQueries && query + j < head.context; j += kTileSide) {
      // Queries before the warp's first key see none of its keys.
      if (query + j + kTileSide <= mine) continue;
      k.Times(q + j * kRowStride<kSize>, my.scores, kScratchStride);
      v.Times(d_out + j * kRowStride<kSize>, my.d_weights, kScratchStride);
      __syncwarp();
      Bf16x8 weights, d_scores;
      for (int i = 0; i < 8; ++i) {
        const int column = j + HalfOfLane() * 8 + i;
        const Weighed w =
            Weigh(my.scores[at + i], my.d_weights[at + i], scale, lse[column], dot[column]);
        const bool seen = key <= query + column && query + column < head.context;
        weights.at[i] = ToBf16(seen ? w.weight : 0.0f);
        d_scores.at[i] = ToBf16(seen ? w.d_score : 0.0f);
      }
      *reinterpret_cast<Bf16x8*>(my.weights + at) = weights;
      *reinterpret_cast<Bf16x8*>(my.d_scores + at) = d_scores;
      __syncwarp();
      d_v.Add(my.weights, kScratchStride, d_out + j * kRowStride<kSize>);
      d_k.Add(my.d_scores, kScratchStride, q + j * kRowStride<kSize>);
    }
  }
  __syncwarp();
  const bool wanted = key < head.context;
  Bf16* const to = a.d_qkv + head.qkv + key * head.stride;
  d_k.Store(my.scores, kScratchStride, 1.0f, wanted, to + a.width);
  d_v.Store(my.scores, kScratchStride, 1.0f, wanted, to + 2 * a.width);
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
