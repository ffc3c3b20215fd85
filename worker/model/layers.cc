#include "worker/model/layers.h"

#include <algorithm>

namespace muster::model {
namespace {

using kernels::GemmTile;
using kernels::Tiles;
using kernels::Transpose;

constexpr std::int64_t kRowTile = 16;

}  // namespace

void NormForward(Device& device, const Norm& n, const float* x, float* y, float* mean,
                 float* rstd) {
  device.pool.For(Tiles(n.rows, kRowTile), [&](std::int64_t tile) {
    const std::int64_t end = std::min(n.rows, (tile + 1) * kRowTile);
    for (std::int64_t r = tile * kRowTile; r < end; ++r) {
      device.kernels.layer_norm(x + r * n.width, n.gain, n.bias, y + r * n.width, mean + r,
                                rstd + r, n.width);
    }
  });
}

void NormBackward(Device& device, const Norm& n, const float* x, const float* mean,
                  const float* rstd, const float* dy, float* dx, float* dgain, float* dbias) {
  const std::int64_t row_tiles = Tiles(n.rows, kRowTile);
  device.pool.For(row_tiles + Tiles(n.width, kColumnTile), [&](std::int64_t i) {
    if (i < row_tiles) {
      const std::int64_t end = std::min(n.rows, (i + 1) * kRowTile);
      for (std::int64_t r = i * kRowTile; r < end; ++r) {
        device.kernels.layer_norm_backward(x + r * n.width, n.gain, dy + r * n.width, mean[r],
                                           rstd[r], dx + r * n.width, n.width);
      }
      return;
    }
    const std::int64_t column = (i - row_tiles) * kColumnTile;
    device.kernels.layer_norm_columns(x + column, dy + column, n.width, mean, rstd, n.rows,
                                      dgain + column, dbias + column,
                                      std::min(kColumnTile, n.width - column));
  });
}

void AttentionForward(Device& device, const Attention& a, const float* qkv, float* probabilities,
                      float* y) {
  const std::int64_t size = a.width / a.heads;
  const std::int64_t stride = 3 * a.width;
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(size));
  device.pool.For(a.batch * a.heads, [&](std::int64_t i) {
    const std::int64_t row = i / a.heads * a.context;
    const float* q = qkv + row * stride + i % a.heads * size;
    const float* k = q + a.width;
    const float* v = k + a.width;
    float* p = probabilities + i * a.context * a.context;
    GemmTile(a.context, a.context, size, 1.0f, {q, stride}, {k, stride, Transpose::kYes}, 0.0f, p,
             a.context);
    for (std::int64_t t = 0; t < a.context; ++t) {
      float* row_p = p + t * a.context;
      device.kernels.softmax(row_p, scale, t + 1);
      std::fill(row_p + t + 1, row_p + a.context, 0.0f);
    }
    GemmTile(a.context, size, a.context, 1.0f, {p, a.context}, {v, stride}, 0.0f,
             y + row * a.width + i % a.heads * size, a.width);
  });
}

void AttentionBackward(Device& device, const Attention& a, const float* qkv,
                       const float* probabilities, const float* dy, float* scratch, float* dqkv) {
  const std::int64_t size = a.width / a.heads;
  const std::int64_t stride = 3 * a.width;
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(size));
  device.pool.For(a.batch * a.heads, [&](std::int64_t i) {
    const std::int64_t row = i / a.heads * a.context;
    const std::int64_t head = row * stride + i % a.heads * size;
    const float* q = qkv + head;
    const float* k = q + a.width;
    const float* v = k + a.width;
    float* dq = dqkv + head;
    const float* p = probabilities + i * a.context * a.context;
    const float* d_out = dy + row * a.width + i % a.heads * size;
    float* ds = scratch + i * a.context * a.context;
    GemmTile(a.context, size, a.context, 1.0f, {p, a.context, Transpose::kYes}, {d_out, a.width},
             0.0f, dq + 2 * a.width, stride);
    GemmTile(a.context, a.context, size, 1.0f, {d_out, a.width}, {v, stride, Transpose::kYes}, 0.0f,
             ds, a.context);
    for (std::int64_t t = 0; t < a.context; ++t) {
      float* row_ds = ds + t * a.context;
      device.kernels.softmax_backward(p + t * a.context, row_ds, scale, t + 1);
      std::fill(row_ds + t + 1, row_ds + a.context, 0.0f);
    }
    GemmTile(a.context, size, a.context, 1.0f, {ds, a.context}, {k, stride}, 0.0f, dq, stride);
    GemmTile(a.context, size, a.context, 1.0f, {ds, a.context, Transpose::kYes}, {q, stride}, 0.0f,
             dq + a.width, stride);
  });
}

}  // namespace muster::model
