// Tiles of attention in shared memory, and their products by tensor cores. Only for kernels.
//
// A block has 64 rows of one side, queries or keys, and goes over the other side in pieces of 64 rows,
// or 32 where heads are larger than 64. Each of its four warps has 16 rows to itself, from the scores
// to the sums: what it keeps of them, and what it adds up for them, stays in its registers, and
// within a piece it waits for no other warp. Thread rule: all 128 threads of a block call.
#pragma once

#include <mma.h>

#include "worker/cuda/kernels_gpt.h"

namespace muster::cuda {

constexpr int kAttentionWarps = 4;
constexpr int kAttentionThreads = 32 * kAttentionWarps;
constexpr int kTileSide = 16;  // of a tensor core's tile, and a warp's rows
constexpr int kAttentionRows = kTileSide * kAttentionWarps;

// Of the other side, in shared memory at a time.
template <int kSize>
constexpr int kPieceRows = kSize <= 64 ? 64 : 32;
// From a row in shared memory to the next: rows begin in different banks.
template <int kSize>
constexpr int kRowStride = kSize + 8;
// A piece of two matrices; it also takes the 64 rows of a block, of one of them.
template <int kSize>
constexpr int kPieces = 2 * kPieceRows<kSize> * kRowStride<kSize>;

__device__ inline int WarpOfBlock() { return static_cast<int>(threadIdx.x) / 32; }
// Blocks begin in the order of their number: of queries the last ones first, which see most keys.
__device__ inline std::int64_t FirstQueryOfBlock() {
  return static_cast<std::int64_t>(gridDim.x - 1 - blockIdx.x) * kAttentionRows;
}
// Two neighbouring lanes share a row of their warp's 16.
__device__ inline int RowOfLane() { return static_cast<int>(threadIdx.x) % 32 / 2; }
__device__ inline int HalfOfLane() { return static_cast<int>(threadIdx.x) % 2; }

// One head of one sample.
struct Head {
  std::int64_t context = 0, stride = 0;
  const Bf16* q = nullptr;
  const Bf16* k = nullptr;
  const Bf16* v = nullptr;
  std::int64_t out = 0;   // where its first row begins in out and d_out
  std::int64_t qkv = 0;   // ... and in qkv
  std::int64_t stat = 0;  // ... and in lse and d_dot
};

__device__ inline Head MyHead(const AttentionPass& a) {
  const std::int64_t size = a.width / a.heads;
  Head head;
  head.context = a.context;
  head.stride = 3 * a.width;
  head.qkv = blockIdx.z * a.context * head.stride + blockIdx.y * size;
  head.out = blockIdx.z * a.context * a.width + blockIdx.y * size;
  head.stat = (blockIdx.z * a.heads + blockIdx.y) * a.context;
  head.q = a.qkv + head.qkv;
  head.k = head.q + a.width;
  head.v = head.k + a.width;
  return head;
}

// kRows rows from `first` on, zeros past `context`.
template <int kSize, int kRows>
__device__ void LoadRows(const Bf16* from, std::int64_t stride, std::int64_t first,
                         std::int64_t context, Bf16* to) {
  constexpr int kOctets = kSize / 8;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kOctets; i += kAttentionThreads) {
    const int row = i / kOctets, column = i % kOctets * 8;
    Bf16x8 octet = {};
    if (first + row < context) {
      octet = *reinterpret_cast<const Bf16x8*>(from + (first + row) * stride + column);
    }
    *reinterpret_cast<Bf16x8*>(to + row * kRowStride<kSize> + column) = octet;
  }
}

namespace tiles {

namespace wmma = nvcuda::wmma;
using Accumulator = wmma::fragment<wmma::accumulator, 16, 16, 16, float>;
using Left = wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major>;
template <typename Layout>
using Right = wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, Layout>;

__device__ inline const __nv_bfloat16* Raw(const Bf16* data) {
  return reinterpret_cast<const __nv_bfloat16*>(data);
}

// A warp's 16 rows, as a product takes them on its left.
template <int kSize>
struct Rows {
  static constexpr int kTiles = kSize / kTileSide;
  Left at[kTiles];

  // The warp's of the block's 64 rows, which no thread may overwrite before all have called.
  __device__ void Load(const Bf16* rows) {
    const Bf16* const mine = rows + WarpOfBlock() * kTileSide * kRowStride<kSize>;
    for (int i = 0; i < kTiles; ++i) {
      wmma::load_matrix_sync(at[i], Raw(mine + i * kTileSide), kRowStride<kSize>);
    }
  }
  // to[16 x 16] = these rows x 16 other rows^T, whose first one is given.
  __device__ void Times(const Bf16* others, float* to, int stride) const {
    Accumulator sum;
    wmma::fill_fragment(sum, 0.0f);
    for (int i = 0; i < kTiles; ++i) {
      Right<wmma::col_major> right;
      wmma::load_matrix_sync(right, Raw(others + i * kTileSide), kRowStride<kSize>);
      wmma::mma_sync(sum, at[i], right, sum);
    }
    wmma::store_matrix_sync(to, sum, static_cast<unsigned>(stride), wmma::mem_row_major);
  }
};

// What a warp adds up for its 16 rows.
template <int kSize>
struct Sums {
  static constexpr int kTiles = kSize / kTileSide;
  Accumulator at[kTiles];

  __device__ void Clear() {
    for (int i = 0; i < kTiles; ++i) wmma::fill_fragment(at[i], 0.0f);
  }
  // += weights[16 x 16] x 16 rows of values, whose first one is given.
  __device__ void Add(const Bf16* weights, int stride, const Bf16* values) {
    Left left;
    wmma::load_matrix_sync(left, Raw(weights), static_cast<unsigned>(stride));
    for (int i = 0; i < kTiles; ++i) {
      Right<wmma::row_major> right;
      wmma::load_matrix_sync(right, Raw(values + i * kTileSide), kRowStride<kSize>);
      wmma::mma_sync(at[i], left, right, at[i]);
    }
  }
  // Each row times its factor: `factors` [16 x 16] has it in every column. Which element a thread
  // holds is unknown, but it is the same one in all fragments of this kind.
  __device__ void Scale(const float* factors, int stride) {
    Accumulator factor;
    wmma::load_matrix_sync(factor, factors, static_cast<unsigned>(stride), wmma::mem_row_major);
    for (int i = 0; i < kTiles; ++i) {
      for (int j = 0; j < factor.num_elements; ++j) at[i].x[j] *= factor.x[j];
    }
  }
  // To memory, a row times its lanes' factor where it is wanted; through `scratch` [16 x 16].
  __device__ void Store(float* scratch, int scratch_stride, float factor, bool wanted, Bf16* row) {
    for (int i = 0; i < kTiles; ++i) {
      wmma::store_matrix_sync(scratch, at[i], static_cast<unsigned>(scratch_stride),
                              wmma::mem_row_major);
      __syncwarp();
      const float* const from = scratch + RowOfLane() * scratch_stride + HalfOfLane() * 8;
      Bf16x8 octet;
      for (int j = 0; j < 8; ++j) octet.at[j] = ToBf16(from[j] * factor);
      if (wanted) *reinterpret_cast<Bf16x8*>(row + i * kTileSide + HalfOfLane() * 8) = octet;
      __syncwarp();
    }
  }
};

}  // namespace tiles

// Calls launch(Size<size of a head>).
template <int kSize>
struct Size {
  static constexpr int value = kSize;
};
template <typename LaunchSize>
cudaError_t ForHeadSize(std::int64_t size, const LaunchSize& launch) {
  switch (size) {
    case 16:
      return launch(Size<16>());
    case 32:
      return launch(Size<32>());
    case 48:
      return launch(Size<48>());
    case 64:
      return launch(Size<64>());
    case 80:
      return launch(Size<80>());
    case 96:
      return launch(Size<96>());
    case 112:
      return launch(Size<112>());
    case 128:
      return launch(Size<128>());
    default:
      return cudaErrorInvalidValue;
  }
}

inline float ScoreScale(const AttentionPass& a) {
  return 1.0f / __builtin_sqrtf(static_cast<float>(a.width / a.heads));
}

}  // namespace muster::cuda
