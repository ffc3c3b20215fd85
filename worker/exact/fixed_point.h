// Fixed point (E4, E5): a slot's gradient becomes integers before anything is added, so that sums
// do not depend on order, grouping or the number of workers.
//
// Every table of kernels gives the same bits; `scalar` is the plain twin that the tests compare the
// others with. The arithmetic is exact but for one rounding: a float times a power of two is exact
// in double (24 of 53 bits, exponents far inside its range), and rounding that to an integer,
// nearest even, is the one place where something is lost. No mode of the FPU is changed.
//
//   Exact64: q = nearest_even(g * 2^44), |q| <= Limit64(M) = floor((2^63-1) / M)
//   Exact32: q = nearest_even(g * 2^(30 - ceil(log2 M) - E)), |q| <= Limit32(M) = floor((2^31-1) /
//   M)
//
// Both limits keep the sum of M slots inside its type. NaN and infinities become 0 and raise
// `not_finite`; a finite value beyond the limit becomes the limit with its sign and raises
// `saturated`.
//
// The linear checksum (E8) of integers q at flat indices i is
//   sum of q_i * w(i) mod 2^64,  w(i) = (i * 0x9E3779B9 mod 2^32) | 1,
// q sign-extended. It is additive over slots and members, sees every change of a single element (w
// is odd, hence invertible) and, w differing between neighbours, exchanged elements.
//
// Thread rule: pure functions; a span may be cut anywhere and the parts done by different threads
// when each part is given the flat index of its first element.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace muster::exact {

// Exact64's scale is 2^kFractionBits for the whole job.
inline constexpr int kFractionBits = 44;
// No tensor has a smaller exponent: an all-zero one must not make every later gradient saturate.
inline constexpr std::int32_t kMinExponent = -32;
inline constexpr std::int32_t kMaxExponent = 128;

struct QuantiseFlags {
  bool not_finite = false;
  bool saturated = false;
  std::uint64_t checksum = 0;  // of what was added
  friend bool operator==(const QuantiseFlags&, const QuantiseFlags&) = default;
};

// Largest magnitude of one slot's element, for M = slots >= 1.
std::int64_t Limit64(std::int32_t slots);
std::int32_t Limit32(std::int32_t slots);

// The least E with max_abs < 2^E, at least kMinExponent; kMaxExponent for what is not finite (such
// a step is skipped and its exponents are not used). With E from the true maximum no element
// saturates: one spare bit lies between 2^(30 - ceil(log2 M)) and Limit32(M).
std::int32_t ExponentFor(float max_abs);
// MaxAbs as an integer that orders like it, and back: what is reduced with kMax.
std::int32_t MaxAbsBits(float max_abs);
float MaxAbsFromBits(std::int32_t bits);

// What a gradient is multiplied with before it is rounded: powers of two.
double Scale64();
double Scale32(std::int32_t exponent, std::int32_t slots);
// What a reduced integer is multiplied with: 1 / (scale * M), the mean over slots (E4).
double Factor64(std::int32_t slots);
double Factor32(std::int32_t exponent, std::int32_t slots);

// Running sums of a block of the gradient norm; worker/exact/norm.h has the shape.
inline constexpr std::size_t kNormLanes = 16;

// Spans of one call have one length. `index` is the flat index of the first element.
struct Kernels {
  const char* name;  // "scalar", "avx2", "avx512"

  // sum += quantised g.
  QuantiseFlags (*quantise_add64)(std::span<const float> g, std::span<std::int64_t> sum,
                                  std::uint64_t index, std::int64_t limit);
  QuantiseFlags (*quantise_add32)(std::span<const float> g, std::span<std::int32_t> sum,
                                  std::uint64_t index, std::int32_t exponent, std::int32_t slots);
  // The greatest |g| by its bits: an infinity beats every number, a NaN beats everything. 0 when
  // empty.
  float (*max_abs)(std::span<const float> g);
  // sum += g in float, for the mode without the contract. Only not_finite is ever set.
  QuantiseFlags (*add_float)(std::span<const float> g, std::span<float> sum);
  // The linear checksum of integers that were added or reduced.
  std::uint64_t (*checksum64)(std::span<const std::int64_t> q, std::uint64_t index);
  std::uint64_t (*checksum32)(std::span<const std::int32_t> q, std::uint64_t index);
  // out = float(double(q) * factor): two roundings to nearest even in double, one to float.
  void (*dequantise64)(std::span<const std::int64_t> q, double factor, std::span<float> out);
  void (*dequantise32)(std::span<const std::int32_t> q, double factor, std::span<float> out);
  // out = in * factor in float.
  void (*scale_float)(std::span<const float> in, float factor, std::span<float> out);
  // worker/exact/digest.h has the formula.
  std::uint64_t (*digest_fold)(std::span<const float> values, std::uint64_t index,
                               std::uint32_t stream);
  // lanes[i mod 16] += (q_i * factor)^2 in double, i counted from the span's begin.
  void (*squares64)(std::span<const std::int64_t> q, double factor,
                    std::span<double, kNormLanes> lanes);
  void (*squares32)(std::span<const std::int32_t> q, double factor,
                    std::span<double, kNormLanes> lanes);
  void (*squares_float)(std::span<const float> g, double factor,
                        std::span<double, kNormLanes> lanes);
};

// The table for a kernel family as OpenBLAS spells it (E3): SkylakeX, Cooperlake and SapphireRapids
// run avx512, Haswell and Zen avx2, everything else scalar. One that this CPU cannot run gives the
// next smaller table, with the same bits.
const Kernels& KernelsFor(std::string_view family);
// Every table that this CPU can run, the plain one first, the fastest last.
std::span<const Kernels* const> SupportedKernels();

}  // namespace muster::exact
