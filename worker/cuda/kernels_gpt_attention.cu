// Causal attention forward: a block has 64 queries of one head and goes over the keys in pieces, in
// ascending order, with the softmax made as it goes: the greatest score so far, the sum of
// exponentials and the weighted sum of values, which shrink when a greater score comes.
#include "worker/cuda/attention_tiles.h"
#include "worker/cuda/context.h"
#include "worker/cuda/gelu.h"

namespace muster::cuda {
namespace {

// What the two lanes of a row know of it.
struct Online {
  float max, sum;
};

__device__ float MaxOfRow(float x) {
  const float other = __shfl_xor_sync(0xffffffffu, x, 1);
  return other > x ? other : x;
}
__device__ float SumOfRow(float x) { return x + __shfl_xor_sync(0xffffffffu, x, 1); }

// Weights of a row's keys from its scores; returns what the row's sums so far shrink by. Lanes take
// four keys in turn; those after `last` have no weight, and their scores are not looked at.
template <int kKeys>
__device__ float Soften(const float* scores, float scale, int last, Online& row, Bf16* weights) {
  constexpr int kQuads = kKeys / 8;
  float mine[4 * kQuads];
  float max = row.max;
  for (int i = 0; i < kQuads; ++i) {
    const int key = (2 * i + HalfOfLane()) * 4;
    const float4 quad = *reinterpret_cast<const float4*>(scores + key);
    const float raw[4] = {quad.x, quad.y, quad.z, quad.w};
    for (int j = 0; j < 4; ++j) {
      const float score = raw[j] * scale;
      mine[4 * i + j] = score;
      if (key + j <= last && score > max) max = score;
    }
  }
  max = MaxOfRow(max);
  const float shrink = Exp(row.max - max);
  float sum = 0;
  for (int i = 0; i < kQuads; ++i) {
    const int key = (2 * i + HalfOfLane()) * 4;
    Bf16x4 quad;
    for (int j = 0; j < 4; ++j) {
      const float weight = key + j <= last ? Exp(mine[4 * i + j] - max) : 0.0f;
      quad.at[j] = ToBf16(weight);
      sum += weight;
    }
    *reinterpret_cast<Bf16x4*>(weights + key) = quad;
  }
  row.sum = row.sum * shrink + SumOfRow(sum);
  row.max = max;
  return shrink;
}

// The sums shrink, where any row's do.
template <int kSize>
__device__ void Shrink(float shrink, float* factors, int stride, tiles::Sums<kSize>& sums) {
  if (__any_sync(0xffffffffu, shrink != 1.0f ? 1 : 0) == 0) return;
  float* const row = factors + RowOfLane() * stride + HalfOfLane() * 8;
  for (int i = 0; i < 8; ++i) row[i] = shrink;
  __syncwarp();
  sums.Scale(factors, stride);
}

template <int kSize>
__global__ void __launch_bounds__(kAttentionThreads) AttentionKernel(AttentionPass a, float scale) {
  constexpr int kKeys = kPieceRows<kSize>;
  constexpr int kStride = kKeys + 8;  // of scores and weights
  alignas(32) __shared__ Bf16 pieces[kPieces<kSize>];
  alignas(32) __shared__ float all_scores[kAttentionRows * kStride];
  alignas(32) __shared__ Bf16 all_weights[kAttentionRows * kStride];
  Bf16* const k = pieces;
  Bf16* const v = pieces + kKeys * kRowStride<kSize>;
  float* const scores = all_scores + WarpOfBlock() * kTileSide * kStride;
  Bf16* const weights = all_weights + WarpOfBlock() * kTileSide * kStride;
  const Head head = MyHead(a);
  const std::int64_t first = FirstQueryOfBlock();
  const std::int64_t mine = first + WarpOfBlock() * kTileSide;  // the warp's first query
  const std::int64_t query = mine + RowOfLane();
  LoadRows<kSize, kAttentionRows>(head.q, head.stride, first, head.context, pieces);
  __syncthreads();
  tiles::Rows<kSize> q;
  q.Load(pieces);
  tiles::Sums<kSize> sums;
  sums.Clear();
  Online row;
  row.max = -__builtin_inff();
  row.sum = 0;
  const std::int64_t end =
      first + kAttentionRows < head.context ? first + kAttentionRows : head.context;
  for (std::int64_t key = 0; key < end; key += kKeys) {
    __syncthreads();
    LoadRows<kSize, kKeys>(head.k, head.stride, key, head.context, k);
    LoadRows<kSize, kKeys>(head.v, head.stride, key, head.context, v);
    __syncthreads();
    // Keys after the warp's last query are not looked at.
    const std::int64_t seen = mine + kTileSide - key;
    const int keys = static_cast<int>(seen < 0 ? 0 : seen < kKeys ? seen : kKeys);
    if (keys == 0) continue;
    for (int j = 0; j < keys; j += kTileSide) {
      q.Times(k + j * kRowStride<kSize>, scores + j, kStride);
    }
    __syncwarp();
    const int at = RowOfLane() * kStride;
    const float shrink =
        Soften<kKeys>(scores + at, scale, static_cast<int>(query - key), row, weights + at);
    __syncwarp();
    Shrink<kSize>(shrink, scores, kStride, sums);
    for (int j = 0; j < keys; j += kTileSide) {
      sums.Add(weights + j, kStride, v + j * kRowStride<kSize>);
    }
  }
  __syncwarp();
  const bool wanted = query < head.context;
  sums.Store(scores, kStride, 1.0f / row.sum, wanted, a.out + head.out + query * a.width);
  if (HalfOfLane() == 0 && wanted) {
    a.lse[head.stat + query] = static_cast<float>(static_cast<double>(row.max) + Log(row.sum));
  }
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
