// Floats at which arithmetic of GPUs and CPUs could part, and shares of a vector done as a GPU does
// them.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

#include "operator/base/rng.h"
#include "worker/cuda/portable.h"

namespace muster::cuda {

// Zeros, denormals, the largest, infinities, NaNs of both signs and payloads, halves that round to
// even, and powers of two around every limit of Exact32 and Exact64.
inline std::vector<float> EdgeFloats() {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> edges = {0.0f,
                              -0.0f,
                              inf,
                              -inf,
                              std::numeric_limits<float>::max(),
                              std::numeric_limits<float>::min(),
                              std::numeric_limits<float>::denorm_min(),
                              std::bit_cast<float>(0x007fffffu)};
  for (std::uint32_t nan : {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0x7fffffffu, 0xff812345u}) {
    edges.push_back(std::bit_cast<float>(nan));
  }
  for (std::uint32_t exponent = 1; exponent < 255; ++exponent) {
    const std::uint32_t power = exponent << 23;
    for (std::uint32_t mantissa : {0u, 1u, 0x400000u, 0x600000u, 0x7fffffu}) {
      edges.push_back(std::bit_cast<float>(power | mantissa));
    }
  }
  const std::size_t positive = edges.size();
  for (std::size_t i = 0; i < positive; ++i) {
    edges.push_back(std::bit_cast<float>(std::bit_cast<std::uint32_t>(edges[i]) ^ 0x80000000u));
  }
  return edges;
}

// Any bits at all, or floats of ordinary size around 0.1 to 1.
inline std::vector<float> RandomFloats(std::size_t count, std::uint64_t seed, bool any) {
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = static_cast<std::uint32_t>(base::Mix64(seed * 0x100000001ull + i));
    out[i] = std::bit_cast<float>(any ? bits : (bits & 0x83ffffffu) | 0x3c000000u);
  }
  return out;
}

// The shares of so many threads, the last one first: order and number must not be seen.
inline std::vector<Share> SharesOf(std::size_t count, std::int64_t threads) {
  std::vector<Share> shares;
  for (std::int64_t t = threads; t-- > 0;) {
    shares.push_back({t, threads, static_cast<std::int64_t>(count)});
  }
  return shares;
}

}  // namespace muster::cuda
