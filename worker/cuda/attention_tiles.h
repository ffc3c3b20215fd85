// Tiles of attention in shared memory, and their products by tensor cores. Only for kernels.
//
// Blocks are of 32 queries and 32 keys for every size of a head, so that all tiles of the largest
// head fit into the 48 KiB that any GPU gives. Thread rule: all 128 threads of a block call.
#pragma once

#include <mma.h>

#include "worker/cuda/kernels_gpt.h"

namespace muster::cuda {

constexpr int kAttentionRows = 32;
constexpr int kAttentionThreads = 128;
constexpr int kScores = kAttentionRows * kAttentionRows;

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

// 32 rows from `first` on, zeros past `context`.
template <int kSize>
__device__ void LoadRows(const Bf16* from, std::int64_t stride, std::int64_t first,
                         std::int64_t context, Bf16* to) {
  constexpr int kOctets = kSize / 8;
  for (int i = static_cast<int>(threadIdx.x); i < kAttentionRows * kOctets;
       i += kAttentionThreads) {
    const int row = i / kOctets, column = i % kOctets * 8;
    Bf16x8 octet = {};
    if (first + row < context) {
      octet = *reinterpret_cast<const Bf16x8*>(from + (first + row) * stride + column);
    }
    *reinterpret_cast<Bf16x8*>(to + row * kSize + column) = octet;
  }
}

namespace tiles {

namespace wmma = nvcuda::wmma;
using Accumulator = wmma::fragment<wmma::accumulator, 16, 16, 16, float>;
template <typename Layout>
using Left = wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, Layout>;
template <typename Layout>
using Right = wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, Layout>;

__device__ inline const __nv_bfloat16* Raw(const Bf16* data) {
  return reinterpret_cast<const __nv_bfloat16*>(data);
}
__device__ inline int Warp() { return static_cast<int>(threadIdx.x) / 32; }

// scores[32 x 32] = rows[32 x size] columns[32 x size]^T, a quarter a warp.
template <int kSize>
__device__ void Scores(const Bf16* rows, const Bf16* columns, float* scores) {
  const int row = Warp() / 2 * 16, column = Warp() % 2 * 16;
  Accumulator sum;
  wmma::fill_fragment(sum, 0.0f);
  for (int d = 0; d < kSize; d += 16) {
    Left<wmma::row_major> left;
    Right<wmma::col_major> right;
    wmma::load_matrix_sync(left, Raw(rows + row * kSize + d), kSize);
    wmma::load_matrix_sync(right, Raw(columns + column * kSize + d), kSize);
    wmma::mma_sync(sum, left, right, sum);
  }
  wmma::store_matrix_sync(scores + row * kAttentionRows + column, sum, kAttentionRows,
                          wmma::mem_row_major);
}

// Of [32 x size] sums, those that a warp has: tiles warp, warp + 4, ...
template <int kSize>
struct Sums {
  static constexpr int kTiles = 2 * (kSize / 16);
  static constexpr int kMine = (kTiles + 3) / 4;
  Accumulator at[kMine];

  __device__ void Clear() {
    for (int i = 0; i < kMine; ++i) wmma::fill_fragment(at[i], 0.0f);
  }
  // += weights[32 x 32] values[32 x size]; transposed: += weights^T values.
  template <bool kTransposed>
  __device__ void Add(const Bf16* weights, const Bf16* values) {
    using Layout = typename Choose<kTransposed, wmma::col_major, wmma::row_major>::Type;
    for (int i = 0; i < kMine; ++i) {
      const int tile = Warp() + 4 * i;
      if (tile >= kTiles) continue;
      const int row = tile % 2 * 16, column = tile / 2 * 16;
      for (int k = 0; k < kAttentionRows; k += 16) {
        Left<Layout> left;
        Right<wmma::row_major> right;
        const int from = kTransposed ? k * kAttentionRows + row : row * kAttentionRows + k;
        wmma::load_matrix_sync(left, Raw(weights + from), kAttentionRows);
        wmma::load_matrix_sync(right, Raw(values + k * kSize + column), kSize);
        wmma::mma_sync(at[i], left, right, at[i]);
      }
    }
  }
  __device__ void Load(const float* from) {
    for (int i = 0; i < kMine; ++i) {
      const int tile = Warp() + 4 * i;
      if (tile >= kTiles) continue;
      wmma::load_matrix_sync(at[i], from + tile % 2 * 16 * kSize + tile / 2 * 16, kSize,
                             wmma::mem_row_major);
    }
  }
  __device__ void Store(float* to) const {
    for (int i = 0; i < kMine; ++i) {
      const int tile = Warp() + 4 * i;
      if (tile >= kTiles) continue;
      wmma::store_matrix_sync(to + tile % 2 * 16 * kSize + tile / 2 * 16, at[i], kSize,
                              wmma::mem_row_major);
    }
  }
};

}  // namespace tiles

// Rows [first, first + 32) of a [32 x size] tile of floats to memory, those before `context`.
template <int kSize>
__device__ void StoreRows(const float* from, std::int64_t first, std::int64_t context, Bf16* to,
                          std::int64_t stride) {
  for (int i = static_cast<int>(threadIdx.x); i < kAttentionRows * kSize; i += kAttentionThreads) {
    const int row = i / kSize, column = i % kSize;
    if (first + row < context) to[(first + row) * stride + column] = ToBf16(from[i]);
  }
}

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
