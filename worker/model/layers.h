// The layers of a GPT, forward and backward, over row-major float matrices.
//
// Each call runs over a grid that depends on the shape alone and is finished when it returns (E3).
// Thread rule: one caller at a time per Device.
#pragma once

#include <cstdint>

#include "worker/kernels/family.h"
#include "worker/kernels/gemm.h"
#include "worker/kernels/parallel.h"
#include "worker/kernels/table.h"

namespace muster::model {

// What computes: a pool of threads and a table of kernels.
struct Device {
  explicit Device(int threads) : pool(threads), kernels(kernels::BestKernels()) {
    kernels::UseOneBlasThread();
  }
  kernels::Pool pool;
  const kernels::Kernels& kernels;
};

// y = x w + bias for x [rows, in], w [in, out].
struct Linear {
  std::int64_t rows = 0, in = 0, out = 0;
  const float* weight = nullptr;
  const float* bias = nullptr;
};

// `after` runs on each finished tile of y, while it is in cache.
template <typename After = kernels::NoTileWork>
void LinearForward(Device& device, const Linear& l, const float* x, float* y,
                   const After& after = {});

// dx = dy w^T (skipped when dx is null), dweight = x^T dy, dbias = column sums of dy.
// `after` runs on each finished tile of dx.
template <typename After = kernels::NoTileWork>
void LinearBackward(Device& device, const Linear& l, const float* x, const float* dy, float* dx,
                    float* dweight, float* dbias, const After& after = {});

struct Norm {
  std::int64_t rows = 0, width = 0;
  const float* gain = nullptr;
  const float* bias = nullptr;
};
void NormForward(Device& device, const Norm& n, const float* x, float* y, float* mean, float* rstd);
// dx += what passes back.
void NormBackward(Device& device, const Norm& n, const float* x, const float* mean,
                  const float* rstd, const float* dy, float* dx, float* dgain, float* dbias);

struct Attention {
  std::int64_t batch = 0, context = 0, heads = 0, width = 0;
  std::int64_t probabilities() const { return batch * heads * context * context; }
};
// Causal attention. qkv [batch x context, 3 width], y [batch x context, width]; keeps the
// probabilities.
void AttentionForward(Device& device, const Attention& a, const float* qkv, float* probabilities,
                      float* y);
// `scratch` is as large as the probabilities.
void AttentionBackward(Device& device, const Attention& a, const float* qkv,
                       const float* probabilities, const float* dy, float* scratch, float* dqkv);

// ---- templates ----

inline constexpr std::int64_t kColumnTile = 128;

template <typename After>
void LinearForward(Device& device, const Linear& l, const float* x, float* y, const After& after) {
  const kernels::Product product{.m = l.rows,
                                 .n = l.out,
                                 .k = l.in,
                                 .a = {x, l.in},
                                 .b = {l.weight, l.out},
                                 .c = y,
                                 .stride = l.out,
                                 .accumulate = true};
  const auto start_with_bias = [&](const kernels::Tile& tile) {
    for (std::int64_t r = tile.row; r < tile.row + tile.rows; ++r) {
      __builtin_memcpy(y + r * l.out + tile.column, l.bias + tile.column,
                       static_cast<std::size_t>(tile.columns) * sizeof(float));
    }
  };
  kernels::Gemm(device.pool, product, start_with_bias, after);
}

template <typename After>
void LinearBackward(Device& device, const Linear& l, const float* x, const float* dy, float* dx,
                    float* dweight, float* dbias, const After& after) {
  using kernels::Transpose;
  const kernels::Product to_x{.m = l.rows,
                              .n = l.in,
                              .k = l.out,
                              .a = {dy, l.out},
                              .b = {l.weight, l.out, Transpose::kYes},
                              .c = dx,
                              .stride = l.in};
  const kernels::Product to_weight{.m = l.in,
                                   .n = l.out,
                                   .k = l.rows,
                                   .a = {x, l.in, Transpose::kYes},
                                   .b = {dy, l.out},
                                   .c = dweight,
                                   .stride = l.out};
  const kernels::Grid x_grid = kernels::MakeGrid(l.rows, l.in);
  const kernels::Grid weight_grid = kernels::MakeGrid(l.in, l.out);
  const std::int64_t x_tiles = dx == nullptr ? 0 : x_grid.count();
  const std::int64_t bias_from = x_tiles + weight_grid.count();
  // One list of tiles for all three, so that no thread waits between them.
  device.pool.For(bias_from + kernels::Tiles(l.out, kColumnTile), [&](std::int64_t i) {
    if (i < x_tiles) {
      const kernels::Tile tile = x_grid.at(i);
      kernels::GemmOnTile(to_x, tile);
      after(tile);
    } else if (i < bias_from) {
      kernels::GemmOnTile(to_weight, weight_grid.at(i - x_tiles));
    } else {
      const std::int64_t column = (i - bias_from) * kColumnTile;
      const std::int64_t columns = l.out - column < kColumnTile ? l.out - column : kColumnTile;
      device.kernels.column_sum(dy + column, l.out, l.rows, dbias + column, columns);
    }
  });
}

}  // namespace muster::model
