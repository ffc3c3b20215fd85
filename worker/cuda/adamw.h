// AdamW and the state digest in one pass on a GPU, element by element (E7, E8): the arithmetic of
// worker/kernels' adamw and the folds of worker/exact/digest.h, bit for bit but for the payload of
// NaNs, which GPUs do not keep. (A step whose gradient is not finite is skipped, E5.)
//
// Compiled without contraction and with correctly rounded division and square root, on both sides.
// Thread rule: pure functions; the shares of a vector may be done by different threads.
#pragma once

#include <cmath>
#include <cstdint>

#include "worker/cuda/fixed_point.h"
#include "worker/cuda/module.h"
#include "worker/cuda/portable.h"

namespace muster::cuda {

// The running folds of weights, first and second moments.
using Folds = MusterCudaFolds;

MUSTER_BOTH Folds Merge(const Folds& a, const Folds& b) {
  return {a.weights + b.weights, a.first + b.first, a.second + b.second};
}

MUSTER_BOTH std::uint32_t Mix32(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

// One element's term of DigestFold. The key is the same for 2^32 neighbours; it is computed each
// time all the same, since the pass waits for memory and not for integers.
MUSTER_BOTH std::uint64_t FoldTerm(float value, std::uint64_t index, std::uint32_t stream) {
  const std::uint64_t key = Mix64((static_cast<std::uint64_t>(stream) << 32) + (index >> 32));
  const std::uint32_t low = static_cast<std::uint32_t>(index);
  const std::uint32_t u =
      Mix32(FloatBits(value) ^ (low * 0x9e3779b1u + static_cast<std::uint32_t>(key)));
  const std::uint32_t weight = (low * 0x85ebca77u + static_cast<std::uint32_t>(key >> 32)) | 1u;
  return static_cast<std::uint64_t>(u) * weight;
}

MUSTER_BOTH void AdamWElement(const MusterCudaAdamW& c, float g, float& w, float& m, float& v) {
  const float gradient = g * c.gradient_scale;
  m = m * c.beta1 + gradient * c.one_minus_beta1;
  v = v * c.beta2 + gradient * gradient * c.one_minus_beta2;
  const float root = sqrtf(v * c.inverse_correction2) + c.epsilon;
  w = w * c.keep - m * c.step_size / root;
}

// A whole share: the reduced sum becomes the mean gradient, the state takes its step, and what it
// became is folded. `index` is that of element 0 in the flat vectors.
template <typename Sum>
MUSTER_BOTH Folds UpdateState(const Sum* reduced, double factor, const MusterCudaAdamW& constants,
                              float* w, float* m, float* v, const Share& share,
                              std::uint64_t index) {
  Folds folds{};
  for (std::int64_t i = share.first; i < share.count; i += share.stride) {
    const std::uint64_t at = index + static_cast<std::uint64_t>(i);
    AdamWElement(constants, Dequantise(reduced[i], factor), w[i], m[i], v[i]);
    folds.weights += FoldTerm(w[i], at, 0);
    folds.first += FoldTerm(m[i], at, 1);
    folds.second += FoldTerm(v[i], at, 2);
  }
  return folds;
}

// The digest's fold of a vector that is not updated: a fresh or received state.
MUSTER_BOTH std::uint64_t DigestFold(const float* values, const Share& share, std::uint64_t index,
                                     std::uint32_t stream) {
  std::uint64_t sum = 0;
  for (std::int64_t i = share.first; i < share.count; i += share.stride) {
    sum += FoldTerm(values[i], index + static_cast<std::uint64_t>(i), stream);
  }
  return sum;
}

}  // namespace muster::cuda
