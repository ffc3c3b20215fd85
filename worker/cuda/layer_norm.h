// Residual sum and LayerNorm in one pass over a row, forward and backward: the bits of
// worker/kernels' add, layer_norm, layer_norm_backward and layer_norm_columns.
//
// A row's sums run over 16 lanes, in blocks of 1,024 elements, and then over a tree: that shape is
// the CPU's, so it is the GPU's too. A lane is a thread there; here are the parts that one lane
// does. Between them the lanes' sums are added in the tree (s[i] += s[i + width] for width 8, 4, 2,
// 1), which is TreeOfLanes here and shuffles in kernels_norm.cu.
//
// Thread rule: pure functions; rows are independent, and so are columns in NormColumn.
#pragma once

#include <cmath>
#include <cstdint>

#include "worker/cuda/portable.h"

namespace muster::cuda {

constexpr int kNormLanes = 16;
constexpr std::int64_t kNormBlock = 1024;
constexpr std::int64_t kNormRowChunk = 32;

MUSTER_BOTH float TreeOfLanes(float* lanes) {
  for (int width = kNormLanes / 2; width >= 1; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

// One lane's sum of term(i) over a row of n. The last lanes run past the end of a row, as they do
// on the CPU, where they add what a row padded with its mean would.
template <typename Term>
MUSTER_BOTH float LaneSum(int lane, std::int64_t n, const Term& term) {
  float total = 0;
  for (std::int64_t block = 0; block < n; block += kNormBlock) {
    const std::int64_t end = block + kNormBlock < n ? block + kNormBlock : n;
    float sum = 0;
    for (std::int64_t i = block; i < end; i += kNormLanes) sum += term(i + lane, end);
    total += sum;
  }
  return total;
}

// The stream becomes stream + branch; returns the lane's sum of it. A null branch adds nothing.
MUSTER_BOTH float AddLane(int lane, std::int64_t n, const float* branch, float* stream) {
  return LaneSum(lane, n, [&](std::int64_t i, std::int64_t end) {
    if (i >= end) return 0.0f;
    if (branch != nullptr) stream[i] = stream[i] + branch[i];
    return stream[i];
  });
}

MUSTER_BOTH float VarianceLane(int lane, std::int64_t n, const float* x, float mean) {
  return LaneSum(lane, n, [&](std::int64_t i, std::int64_t end) {
    const float d = (i < end ? x[i] : mean) - mean;
    return d * d;
  });
}

MUSTER_BOTH float NormRstd(float variance_sum, std::int64_t n) {
  return 1.0f / sqrtf(variance_sum / static_cast<float>(n) + 1e-5f);
}

struct NormWeights {
  const float* gain = nullptr;
  const float* bias = nullptr;
};

MUSTER_BOTH void NormLane(int lane, std::int64_t n, const float* x, const NormWeights& weights,
                          float mean, float rstd, float* y) {
  for (std::int64_t i = lane; i < n; i += kNormLanes) {
    y[i] = (x[i] - mean) * rstd * weights.gain[i] + weights.bias[i];
  }
}

// What a row keeps for the way back.
struct NormRow {
  const float* x = nullptr;
  const float* gain = nullptr;
  const float* dy = nullptr;
  float mean = 0, rstd = 0;
};

MUSTER_BOTH float Scaled(const NormRow& row, std::int64_t i, std::int64_t end) {
  return i < end ? row.dy[i] * row.gain[i] : 0.0f;
}
MUSTER_BOTH float Normal(const NormRow& row, std::int64_t i, std::int64_t end) {
  return ((i < end ? row.x[i] : row.mean) - row.mean) * row.rstd;
}
MUSTER_BOTH float ScaledLane(int lane, std::int64_t n, const NormRow& row) {
  return LaneSum(lane, n, [&](std::int64_t i, std::int64_t end) { return Scaled(row, i, end); });
}
MUSTER_BOTH float ProductLane(int lane, std::int64_t n, const NormRow& row) {
  return LaneSum(lane, n, [&](std::int64_t i, std::int64_t end) {
    return Scaled(row, i, end) * Normal(row, i, end);
  });
}

// dx += what the norm passes back; a and b are the means of the two sums above.
MUSTER_BOTH void BackwardLane(int lane, std::int64_t n, const NormRow& row, float a, float b,
                              float* dx) {
  for (std::int64_t i = lane; i < n; i += kNormLanes) {
    const float passed = (Scaled(row, i, n) - a - Normal(row, i, n) * b) * row.rstd;
    dx[i] = dx[i] + passed;
  }
}

// Gradients of gain and bias in one column: chunks of 32 rows, then the sum of chunks.
struct NormColumns {
  const float* x = nullptr;
  const float* dy = nullptr;
  const float* mean = nullptr;
  const float* rstd = nullptr;
  std::int64_t rows = 0, width = 0;
};
MUSTER_BOTH void NormColumn(const NormColumns& all, std::int64_t column, float* dgain,
                            float* dbias) {
  float gain_total = 0, bias_total = 0;
  for (std::int64_t chunk = 0; chunk < all.rows; chunk += kNormRowChunk) {
    const std::int64_t end = chunk + kNormRowChunk < all.rows ? chunk + kNormRowChunk : all.rows;
    float gain_sum = 0, bias_sum = 0;
    for (std::int64_t r = chunk; r < end; ++r) {
      const float d = all.dy[r * all.width + column];
      gain_sum += d * ((all.x[r * all.width + column] - all.mean[r]) * all.rstd[r]);
      bias_sum += d;
    }
    gain_total += gain_sum;
    bias_total += bias_sum;
  }
  dgain[column] = gain_total;
  dbias[column] = bias_total;
}

}  // namespace muster::cuda
