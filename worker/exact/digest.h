// The digest of training state (E8): 64 bits, independent of order, so that it can be folded into
// the optimizer's pass over any split of the vectors and the parts simply added (mod 2^64).
//
// Exactly, so that another program can recompute it (all numbers unsigned; `bits` is the element's
// IEEE-754 single pattern, i its index in the vector, lo = i mod 2^32, hi = i div 2^32, and s the
// vector's stream: weights 0, first moments 1, second moments 2):
//
//   Mix64(x):  x += 0x9e3779b97f4a7c15; x = (x ^ x>>30) * 0xbf58476d1ce4e5b9;
//              x = (x ^ x>>27) * 0x94d049bb133111eb; x ^ x>>31              (mod 2^64)
//   Mix32(x):  x ^= x>>16; x *= 0x85ebca6b; x ^= x>>13; x *= 0xc2b2ae35; x ^ x>>16   (mod 2^32)
//   k  = Mix64(s * 2^32 + hi)
//   u  = Mix32(bits ^ ((lo * 0x9e3779b1 + (k mod 2^32)) mod 2^32))
//   w  = ((lo * 0x85ebca77 + (k div 2^32)) mod 2^32) | 1
//   fold(vector) = sum over elements of u * w   (the whole 64-bit product), mod 2^64
//
//   d = Mix64(step); d = Mix64(d ^ updates); d = Mix64(d ^ fold(weights)); d = Mix64(d ^ fold(m));
//   d = Mix64(d ^ fold(v)); d = Mix64(d ^ count of exponents);
//   for each exponent e in order: d = Mix64(d ^ (e mod 2^32));
//   digest = d, or 1 when d is 0 (0 means "none" in messages).
//
// A change of one element always changes the fold: Mix32 is a bijection and w is odd and below
// 2^32. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace muster::exact {

inline constexpr std::uint32_t kWeightsStream = 0;
inline constexpr std::uint32_t kMomentStream = 1;
inline constexpr std::uint32_t kVarianceStream = 2;

// The fold of a part of a vector; `index` is that of its first element. Parts add up mod 2^64.
std::uint64_t DigestFold(std::span<const float> values, std::uint64_t index, std::uint32_t stream);

// `step`: committed steps; `updates`: Adam's update count; the first three are folds of whole
// vectors.
std::uint64_t CombineDigest(std::uint64_t weights, std::uint64_t m, std::uint64_t v,
                            std::span<const std::int32_t> exponents, std::int64_t step,
                            std::int64_t updates);

// 16 lower-case hexadecimal digits.
std::string DigestHex(std::uint64_t digest);

}  // namespace muster::exact
