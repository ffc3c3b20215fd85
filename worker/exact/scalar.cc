// The plain twin: every formula as it is written in the headers, one element at a time. It shares
// constants with lanes.h and nothing else, not even Mix32: a slip in shared code would agree with
// itself in every test.

#include <bit>
#include <cmath>
#include <limits>

#include "operator/base/check.h"
#include "operator/base/rng.h"
#include "worker/exact/table.h"

namespace muster::exact {
namespace {

std::uint64_t Weight(std::uint64_t index) {
  return static_cast<std::uint32_t>(static_cast<std::uint32_t>(index) * kChecksumStride) | 1u;
}

// One element, scaled, as an integer within +-limit. The magnitude is compared after rounding,
// against the greatest double that does not exceed the limit (2^57 - 1, for one, is no double).
std::int64_t Round(float g, double scale, std::int64_t limit, QuantiseFlags& flags) {
  if (!std::isfinite(g)) {
    flags.not_finite = true;
    return 0;
  }
  const double r = std::nearbyint(static_cast<double>(g) * scale);
  if (r >= 0x1p63 || r <= -0x1p63) {
    flags.saturated = true;
    return r > 0 ? limit : -limit;
  }
  const auto q = static_cast<std::int64_t>(r);
  if (q > limit || q < -limit) {
    flags.saturated = true;
    return q > 0 ? limit : -limit;
  }
  return q;
}

QuantiseFlags QuantiseAdd64(std::span<const float> g, std::span<std::int64_t> sum,
                            std::uint64_t index, std::int64_t limit) {
  MUSTER_CHECK(g.size() == sum.size(), "gradient and sum differ in length");
  QuantiseFlags flags;
  for (std::size_t i = 0; i < g.size(); ++i) {
    const std::int64_t q = Round(g[i], 1.0 * (std::int64_t{1} << kFractionBits), limit, flags);
    // Sums wrap mod 2^64 by contract, so they are added without a sign.
    sum[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(sum[i]) +
                                       static_cast<std::uint64_t>(q));
    flags.checksum += static_cast<std::uint64_t>(q) * Weight(index + i);
  }
  return flags;
}

QuantiseFlags QuantiseAdd32(std::span<const float> g, std::span<std::int32_t> sum,
                            std::uint64_t index, std::int32_t exponent, std::int32_t slots) {
  MUSTER_CHECK(g.size() == sum.size(), "gradient and sum differ in length");
  QuantiseFlags flags;
  const double scale = 1.0 / (Factor32(exponent, 1) * std::bit_ceil(std::uint32_t(slots)));
  const std::int64_t limit = Limit32(slots);
  for (std::size_t i = 0; i < g.size(); ++i) {
    const std::int64_t q = Round(g[i], scale, limit, flags);
    sum[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(sum[i]) +
                                       static_cast<std::uint32_t>(q));
    flags.checksum += static_cast<std::uint64_t>(q) * Weight(index + i);
  }
  return flags;
}

float MaxAbs(std::span<const float> g) {
  std::int32_t bits = 0;
  for (float x : g) bits = std::max(bits, std::bit_cast<std::int32_t>(x) & 0x7fffffff);
  return std::bit_cast<float>(bits);
}

QuantiseFlags AddFloat(std::span<const float> g, std::span<float> sum) {
  MUSTER_CHECK(g.size() == sum.size(), "gradient and sum differ in length");
  QuantiseFlags flags;
  for (std::size_t i = 0; i < g.size(); ++i) {
    flags.not_finite |= !std::isfinite(g[i]);
    sum[i] += g[i];
  }
  return flags;
}

template <typename Int>
std::uint64_t Checksum(std::span<const Int> q, std::uint64_t index) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < q.size(); ++i) {
    sum += static_cast<std::uint64_t>(std::int64_t{q[i]}) * Weight(index + i);
  }
  return sum;
}

template <typename Int>
void Dequantise(std::span<const Int> q, double factor, std::span<float> out) {
  MUSTER_CHECK(q.size() == out.size(), "integers and floats differ in length");
  for (std::size_t i = 0; i < q.size(); ++i) {
    out[i] = static_cast<float>(static_cast<double>(q[i]) * factor);
  }
}

void ScaleFloat(std::span<const float> in, float factor, std::span<float> out) {
  MUSTER_CHECK(in.size() == out.size(), "input and output differ in length");
  for (std::size_t i = 0; i < in.size(); ++i) out[i] = in[i] * factor;
}

std::uint32_t Mix32(std::uint32_t x) {
  x ^= x >> 16;
  x *= 0x85ebca6bu;
  x ^= x >> 13;
  x *= 0xc2b2ae35u;
  return x ^ (x >> 16);
}

std::uint64_t DigestFold(std::span<const float> values, std::uint64_t index, std::uint32_t stream) {
  std::uint64_t sum = 0;
  for (std::size_t j = 0; j < values.size(); ++j) {
    const std::uint64_t i = index + j;
    const auto lo = static_cast<std::uint32_t>(i);
    const std::uint64_t k = base::Mix64((std::uint64_t{stream} << 32) + (i >> 32));
    const std::uint32_t t = lo * kDigestStride1 + static_cast<std::uint32_t>(k);
    const std::uint32_t u = Mix32(std::bit_cast<std::uint32_t>(values[j]) ^ t);
    const std::uint32_t w = (lo * kDigestStride2 + static_cast<std::uint32_t>(k >> 32)) | 1u;
    sum += std::uint64_t{u} * w;
  }
  return sum;
}

template <typename T>
void Squares(std::span<const T> q, double factor, std::span<double, kNormLanes> lanes) {
  for (std::size_t i = 0; i < q.size(); ++i) {
    const double x = static_cast<double>(q[i]) * factor;
    lanes[i % kNormLanes] += x * x;
  }
}

}  // namespace

const Kernels kScalarKernels = {"scalar",
                                QuantiseAdd64,
                                QuantiseAdd32,
                                MaxAbs,
                                AddFloat,
                                Checksum<std::int64_t>,
                                Checksum<std::int32_t>,
                                Dequantise<std::int64_t>,
                                Dequantise<std::int32_t>,
                                ScaleFloat,
                                DigestFold,
                                Squares<std::int64_t>,
                                Squares<std::int32_t>,
                                Squares<float>};

}  // namespace muster::exact
