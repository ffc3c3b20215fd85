// Fixed point on a GPU, element by element (E4, E5), and the linear checksum (E8): the formulas of
// worker/exact/fixed_point.h, bit for bit.
//
// They are written once more and not shared with worker/exact: its plain twin is what the tests
// compare these with, and a slip in shared code would agree with itself. Where a GPU differs from
// a CPU nothing is left to it: not a number and infinities are told by their bits, and a double is
// made an integer only when it fits (beyond that the two do different things).
//
// Thread rule: pure functions; the shares of a vector may be done by different threads.
#pragma once

#include <cmath>
#include <cstdint>

#include "worker/cuda/module.h"
#include "worker/cuda/portable.h"

namespace muster::cuda {

constexpr std::uint32_t kNotFinite = MUSTER_CUDA_NOT_FINITE;
constexpr std::uint32_t kSaturated = MUSTER_CUDA_SATURATED;

// What adding a gradient told, over any part of it. A NaN is the greatest.
using Told = MusterCudaTold;

MUSTER_BOTH Told Merge(const Told& a, const Told& b) {
  return {a.checksum + b.checksum, a.flags | b.flags,
          a.max_abs > b.max_abs ? a.max_abs : b.max_abs};
}

// How one tensor's floats become integers: q = nearest_even(g * scale), held within +-limit.
struct Scale {
  double scale = 1;  // a power of two: the product is exact
  std::int64_t limit = 0;
};

MUSTER_BOTH std::uint64_t ChecksumWeight(std::uint64_t index) {
  return (static_cast<std::uint32_t>(index) * 0x9E3779B9u) | 1u;
}

MUSTER_BOTH std::int64_t Quantise(float g, const Scale& to, std::uint32_t& flags) {
  constexpr double kBeyond = 9223372036854775808.0;  // 2^63
  if ((FloatBits(g) & 0x7f800000u) == 0x7f800000u) {
    flags |= kNotFinite;
    return 0;
  }
  const double rounded = rint(static_cast<double>(g) * to.scale);
  // Compared as an integer: floor((2^63 - 1) / 64), for one, is no double.
  if (rounded < kBeyond && rounded > -kBeyond) {
    const std::int64_t q = static_cast<std::int64_t>(rounded);
    if (q <= to.limit && q >= -to.limit) return q;
  }
  flags |= kSaturated;
  return rounded > 0 ? to.limit : -to.limit;
}

// sum += quantised g. Int is int64 or int32; the limit keeps the sum of all slots inside it. A sum
// that was received may be anything, so it wraps and is never undefined.
template <typename Int>
MUSTER_BOTH Told QuantiseAdd(const float* g, Int* sum, const Share& share, std::uint64_t index,
                             const Scale& to) {
  Told told{};
  for (std::int64_t i = share.first; i < share.count; i += share.stride) {
    const std::uint64_t q = static_cast<std::uint64_t>(Quantise(g[i], to, told.flags));
    sum[i] = static_cast<Int>(static_cast<std::uint64_t>(sum[i]) + q);
    told.checksum += q * ChecksumWeight(index + static_cast<std::uint64_t>(i));
    const std::uint32_t magnitude = FloatBits(g[i]) & 0x7fffffffu;
    if (magnitude > told.max_abs) told.max_abs = magnitude;
  }
  return told;
}

// Of integers that were added or reduced. Converting to 64 bits extends an int32's sign.
template <typename Int>
MUSTER_BOTH std::uint64_t Checksum(const Int* q, const Share& share, std::uint64_t index) {
  std::uint64_t sum = 0;
  for (std::int64_t i = share.first; i < share.count; i += share.stride) {
    sum += static_cast<std::uint64_t>(q[i]) * ChecksumWeight(index + static_cast<std::uint64_t>(i));
  }
  return sum;
}

// float(double(q) * factor): two roundings in double, one to float. Of a float sum: q * factor in
// float.
template <typename Int>
MUSTER_BOTH float Dequantise(Int q, double factor) {
  return static_cast<float>(static_cast<double>(q) * factor);
}
template <>
MUSTER_BOTH float Dequantise<float>(float q, double factor) {
  return q * static_cast<float>(factor);
}

}  // namespace muster::cuda
