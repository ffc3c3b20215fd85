// What a gradient is besides quantised: added to a float sum, only looked at (Exact32's first pass,
// E5), and squared for its norm (E6). The formulas of worker/exact, bit for bit.
//
// The norm's shape is the CPU's (worker/exact/norm.h): blocks of 4,096 elements, 16 running sums a
// block, a tree over them. A running sum is a thread on a GPU; the tree over the 16 is shuffles
// there (kernels_sum.cu), the tree over blocks is the host's.
//
// Thread rule: pure functions; the shares of a vector may be done by different threads.
#pragma once

#include <cstdint>

#include "worker/cuda/fixed_point.h"
#include "worker/cuda/portable.h"

namespace muster::cuda {

constexpr std::int64_t kSquareBlock = 4096;
constexpr int kSquareLanes = 16;

MUSTER_BOTH void Look(float g, Told& told) {
  const std::uint32_t magnitude = FloatBits(g) & 0x7fffffffu;
  if (magnitude > told.max_abs) told.max_abs = magnitude;
  if (magnitude >= 0x7f800000u) told.flags |= kNotFinite;
}

MUSTER_BOTH Told LookAtAll(const float* g, const Share& share) {
  Told told{};
  for (std::int64_t i = share.first; i < share.count; i += share.stride) Look(g[i], told);
  return told;
}

MUSTER_BOTH Told AddFloats(const float* g, float* sum, const Share& share) {
  Told told{};
  for (std::int64_t i = share.first; i < share.count; i += share.stride) {
    sum[i] = sum[i] + g[i];
    Look(g[i], told);
  }
  return told;
}

// Sum of (q x factor)^2 over elements first + lane, first + lane + 16, ... below end. The order is
// fixed; float sums are taken as doubles, as integers are.
template <typename Sum>
MUSTER_BOTH double SquareLane(const Sum* q, double factor, std::int64_t first, std::int64_t end,
                              int lane) {
  double sum = 0;
  for (std::int64_t i = first + lane; i < end; i += kSquareLanes) {
    const double x = static_cast<double>(q[i]) * factor;
    sum = sum + x * x;
  }
  return sum;
}

}  // namespace muster::cuda
