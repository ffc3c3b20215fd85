// The kernels over whole vectors: simple loops, which the compiler turns into vectors, and the ones
// with 32 x 32 -> 64 bit products, written over GCC's vector types because the compiler makes a
// 64-bit product of them. Included once by each file that is compiled for an instruction set;
// everything has internal linkage, so that no function compiled for a new CPU is ever linked into
// code that runs on an old one. The bits are the plain twin's (scalar.cc): same exact products, one
// rounding.
#pragma once

#include <immintrin.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "operator/base/check.h"
#include "operator/base/rng.h"
#include "worker/exact/table.h"

namespace muster::exact {
namespace {

#ifdef __AVX512F__
constexpr std::size_t kVectorBytes = 64;
#else
constexpr std::size_t kVectorBytes = 32;
#endif
constexpr std::size_t kLanes = kVectorBytes / 8;    // 64-bit elements of a vector
constexpr std::size_t kLanes32 = kVectorBytes / 4;  // 32-bit ones

using U64 [[gnu::vector_size(kVectorBytes)]] = std::uint64_t;
using U32 [[gnu::vector_size(kVectorBytes)]] = std::uint32_t;
using F64 [[gnu::vector_size(kVectorBytes)]] = double;
using U32Half [[gnu::vector_size(kVectorBytes / 2)]] = std::uint32_t;
using F32Half [[gnu::vector_size(kVectorBytes / 2)]] = float;
using I32Half [[gnu::vector_size(kVectorBytes / 2)]] = std::int32_t;
using I64 [[gnu::vector_size(kVectorBytes)]] = std::int64_t;

template <typename Vector, typename T>
inline Vector Load(const T* from) {
  Vector v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
template <typename Vector, typename T>
inline void Store(T* to, Vector v) {
  std::memcpy(to, &v, sizeof(v));
}

// Products of the low halves of the 64-bit elements; the high halves are not looked at.
inline U64 Mul32(U64 a, U64 b) {
#ifdef __AVX512F__
  // The form with a mask of all lanes: g++ 12 warns of its own header's undefined vector in the
  // other.
  return std::bit_cast<U64>(
      _mm512_maskz_mul_epu32(0xff, std::bit_cast<__m512i>(a), std::bit_cast<__m512i>(b)));
#else
  return std::bit_cast<U64>(_mm256_mul_epu32(std::bit_cast<__m256i>(a), std::bit_cast<__m256i>(b)));
#endif
}

// Eight or four floats as doubles, and the low halves of 64-bit elements alone. g++ 12 does both in
// single instructions for 512 bits only.
inline F64 Widen(const float* from) {
#ifdef __AVX512F__
  return __builtin_convertvector(Load<F32Half>(from), F64);
#else
  return std::bit_cast<F64>(_mm256_cvtps_pd(_mm_loadu_ps(from)));
#endif
}
inline U32Half LowHalves(U64 v) {
#ifdef __AVX512F__
  return __builtin_convertvector(v, U32Half);
#else
  const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
  const __m256i packed = _mm256_permutevar8x32_epi32(std::bit_cast<__m256i>(v), even);
  return std::bit_cast<U32Half>(_mm256_castsi256_si128(packed));
#endif
}

inline std::uint64_t Total(U64 v) {
  std::uint64_t sum = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) sum += v[lane];
  return sum;
}

// Adding 1.5 * 2^52 to a double below 2^51 in magnitude rounds it to an integer, nearest even, and
// leaves that integer in the low bits.
constexpr double kMagic = 0x1.8p52;
constexpr std::uint64_t kMagicBits = 0x4338000000000000;

// double(q), rounded once as the conversion instruction does. Without one: high half and low half
// are put into the mantissas of 2^84 and 2^52; only the last sum rounds.
inline double ToDouble(std::int64_t q) {
#ifdef __AVX512DQ__
  return static_cast<double>(q);
#else
  const auto bits = static_cast<std::uint64_t>(q);
  const auto high = std::bit_cast<double>((bits >> 32) ^ 0x4530000080000000);
  const auto low = std::bit_cast<double>((bits & 0xffffffff) | 0x4330000000000000);
  return (high - (0x1p84 + 0x1p63 + 0x1p52)) + low;
#endif
}

template <typename T>
inline double AsDouble(T value) {
  if constexpr (sizeof(T) == 8) {
    return ToDouble(value);
  } else {
    return static_cast<double>(value);
  }
}

inline std::uint32_t WeightOf(std::uint32_t index) { return (index * kChecksumStride) | 1u; }

// The linear checksum over vectors of consecutive elements. The product with a 32-bit weight is
// split: low halves and high halves have a sum each, and the high one is moved up once at the end.
class ChecksumLanes {
 public:
  explicit ChecksumLanes(std::uint32_t index) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      weight_[lane] = WeightOf(index + static_cast<std::uint32_t>(lane));
    }
  }
  void Add(U64 q) {
    low_ += Mul32(q, weight_);
    high_ += Mul32(q >> 32, weight_);
    // A vector has an even length: each lane stays odd or even, and what |1 does to it stays too.
    weight_ += std::uint64_t{static_cast<std::uint32_t>(kLanes * kChecksumStride)};
  }
  std::uint64_t Sum() const { return Total(low_) + (Total(high_) << 32); }

 private:
  U64 weight_{};  // in the low halves; the high ones gather carries
  U64 low_{};
  U64 high_{};
};

// sum += nearest_even(g * scale) for whole vectors of values that are finite, within the limit and
// below 2^51 after scaling.
template <typename Int>
inline std::uint64_t AddOrdinary(const float* __restrict g, Int* __restrict sum, std::size_t n,
                                 std::uint32_t index, double scale) {
  ChecksumLanes checksum(index);
  for (std::size_t i = 0; i < n; i += kLanes) {
    const F64 value = Widen(g + i) * scale + kMagic;
    const U64 q = std::bit_cast<U64>(value) - kMagicBits;
    checksum.Add(q);
    if constexpr (sizeof(Int) == 8) {
      Store(sum + i, Load<U64>(sum + i) + q);
    } else {
      Store(sum + i, Load<U32Half>(sum + i) + LowHalves(q));
    }
  }
  return checksum.Sum();
}

std::int32_t MaxAbsInt(const float* g, std::size_t n) {
  std::int32_t bits = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int32_t b = std::bit_cast<std::int32_t>(g[i]) & 0x7fffffff;
    bits = b > bits ? b : bits;
  }
  return bits;
}

// Blocks stay in the first-level cache between the look at their greatest magnitude and the sum.
// Nearly all are ordinary; `twin(at, count)` does the others and the last few elements.
template <typename Int, typename Twin>
inline QuantiseFlags QuantiseAdd(std::span<const float> g, std::span<Int> sum, std::uint64_t index,
                                 double scale, std::int64_t limit, Twin twin) {
  constexpr std::size_t kBlock = 2048;
  QuantiseFlags flags;
  for (std::size_t at = 0; at < g.size(); at += kBlock) {
    const std::size_t left = g.size() - at;
    const std::size_t count = left < kBlock ? left : kBlock;
    const std::size_t whole = count - count % kLanes;
    // Rounding is monotone, so the greatest speaks for all; a NaN fails both comparisons.
    const double greatest =
        static_cast<double>(std::bit_cast<float>(MaxAbsInt(g.data() + at, whole))) * scale;
    const bool ordinary =
        greatest < 0x1p51 && std::nearbyint(greatest) <= static_cast<double>(limit);
    if (ordinary) {
      flags.checksum += AddOrdinary(g.data() + at, sum.data() + at, whole,
                                    static_cast<std::uint32_t>(index + at), scale);
    }
    const std::size_t done = ordinary ? whole : 0;
    if (done == count) continue;
    const QuantiseFlags rest = twin(at + done, count - done);
    flags.not_finite |= rest.not_finite;
    flags.saturated |= rest.saturated;
    flags.checksum += rest.checksum;
  }
  return flags;
}

QuantiseFlags QuantiseAdd64(std::span<const float> g, std::span<std::int64_t> sum,
                            std::uint64_t index, std::int64_t limit) {
  MUSTER_CHECK(g.size() == sum.size(), "gradient and sum differ in length");
  return QuantiseAdd(g, sum, index, 0x1p44, limit, [&](std::size_t at, std::size_t count) {
    return kScalarKernels.quantise_add64(g.subspan(at, count), sum.subspan(at, count), index + at,
                                         limit);
  });
}

QuantiseFlags QuantiseAdd32(std::span<const float> g, std::span<std::int32_t> sum,
                            std::uint64_t index, std::int32_t exponent, std::int32_t slots) {
  MUSTER_CHECK(g.size() == sum.size(), "gradient and sum differ in length");
  // Powers of two: the product with M is undone exactly.
  const double scale =
      1.0 / (Factor32(exponent, 1) * std::bit_ceil(static_cast<std::uint32_t>(slots)));
  return QuantiseAdd(g, sum, index, scale, Limit32(slots), [&](std::size_t at, std::size_t count) {
    return kScalarKernels.quantise_add32(g.subspan(at, count), sum.subspan(at, count), index + at,
                                         exponent, slots);
  });
}

float MaxAbs(std::span<const float> values) {
  return std::bit_cast<float>(MaxAbsInt(values.data(), values.size()));
}

QuantiseFlags AddFloat(std::span<const float> gradient, std::span<float> sums) {
  MUSTER_CHECK(gradient.size() == sums.size(), "gradient and sum differ in length");
  const float* const __restrict g = gradient.data();
  float* const __restrict sum = sums.data();
  const std::size_t n = gradient.size();
  std::int32_t bits = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int32_t b = std::bit_cast<std::int32_t>(g[i]) & 0x7fffffff;
    bits = b > bits ? b : bits;
    sum[i] += g[i];
  }
  return {bits >= 0x7f800000, false, 0};
}

template <typename Int>
std::uint64_t Checksum(std::span<const Int> values, std::uint64_t index) {
  const Int* const q = values.data();
  const std::size_t n = values.size();
  const auto first = static_cast<std::uint32_t>(index);
  ChecksumLanes lanes(first);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    if constexpr (sizeof(Int) == 8) {
      lanes.Add(Load<U64>(q + i));
    } else {
      lanes.Add(std::bit_cast<U64>(__builtin_convertvector(Load<I32Half>(q + i), I64)));
    }
  }
  std::uint64_t sum = lanes.Sum();
  for (; i < n; ++i) {
    sum += static_cast<std::uint64_t>(static_cast<std::int64_t>(q[i])) *
           WeightOf(first + static_cast<std::uint32_t>(i));
  }
  return sum;
}

template <typename Int>
void Dequantise(std::span<const Int> values, double factor, std::span<float> floats) {
  MUSTER_CHECK(values.size() == floats.size(), "integers and floats differ in length");
  const Int* const __restrict q = values.data();
  float* const __restrict out = floats.data();
  const std::size_t n = values.size();
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = static_cast<float>(AsDouble(q[i]) * factor);
  }
}

void ScaleFloat(std::span<const float> values, float factor, std::span<float> scaled) {
  MUSTER_CHECK(values.size() == scaled.size(), "input and output differ in length");
  const float* const __restrict in = values.data();
  float* const __restrict out = scaled.data();
  const std::size_t n = values.size();
  for (std::size_t i = 0; i < n; ++i) out[i] = in[i] * factor;
}

// norm.h's running sums; each lane has an order of its own, so vectors change no bits. Compiled
// without contraction: a fused product and sum would.
template <typename T>
void Squares(std::span<const T> values, double factor, std::span<double, kNormLanes> lanes) {
  const T* const q = values.data();
  const std::size_t n = values.size();
  double sums[kNormLanes];
  for (std::size_t lane = 0; lane < kNormLanes; ++lane) sums[lane] = lanes[lane];
  std::size_t i = 0;
  for (; i + kNormLanes <= n; i += kNormLanes) {
    for (std::size_t lane = 0; lane < kNormLanes; ++lane) {
      const double x = AsDouble(q[i + lane]) * factor;
      sums[lane] += x * x;
    }
  }
  for (; i < n; ++i) {
    const double x = AsDouble(q[i]) * factor;
    sums[i % kNormLanes] += x * x;
  }
  for (std::size_t lane = 0; lane < kNormLanes; ++lane) lanes[lane] = sums[lane];
}

struct FoldKeys {
  std::uint32_t k1;
  std::uint32_t k2;
};

template <typename T>
inline T Mix32(T u) {
  u = (u ^ (u >> 16)) * 0x85ebca6bu;
  u = (u ^ (u >> 13)) * 0xc2b2ae35u;
  return u ^ (u >> 16);
}

// The part of DigestFold in which the high half of the index stays the same.
std::uint64_t FoldRun(const float* values, std::size_t n, std::uint64_t index,
                      std::uint32_t stream) {
  const std::uint64_t k = base::Mix64((std::uint64_t{stream} << 32) + (index >> 32));
  const FoldKeys keys{static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(k >> 32)};
  const auto first = static_cast<std::uint32_t>(index);
  U32 key, weight;
  for (std::size_t lane = 0; lane < kLanes32; ++lane) {
    const std::uint32_t lo = first + static_cast<std::uint32_t>(lane);
    key[lane] = lo * kDigestStride1 + keys.k1;
    weight[lane] = (lo * kDigestStride2 + keys.k2) | 1u;
  }
  U64 even{}, odd{};
  std::size_t j = 0;
  for (; j + kLanes32 <= n; j += kLanes32) {
    const U32 u = Mix32<U32>(Load<U32>(values + j) ^ key);
    const auto wide = std::bit_cast<U64>(u);
    const auto wide_weight = std::bit_cast<U64>(weight);
    even += Mul32(wide, wide_weight);
    odd += Mul32(wide >> 32, wide_weight >> 32);
    key += static_cast<std::uint32_t>(kLanes32) * kDigestStride1;
    weight += static_cast<std::uint32_t>(kLanes32) * kDigestStride2;  // even: |1 stays as it was
  }
  std::uint64_t sum = Total(even) + Total(odd);
  for (; j < n; ++j) {
    const std::uint32_t lo = first + static_cast<std::uint32_t>(j);
    const std::uint32_t u =
        Mix32(std::bit_cast<std::uint32_t>(values[j]) ^ (lo * kDigestStride1 + keys.k1));
    sum += std::uint64_t{u} * ((lo * kDigestStride2 + keys.k2) | 1u);
  }
  return sum;
}

std::uint64_t DigestFold(std::span<const float> values, std::uint64_t index, std::uint32_t stream) {
  std::uint64_t sum = 0;
  std::size_t done = 0;
  while (done < values.size()) {
    const std::uint64_t at = index + done;
    const std::uint64_t run = (std::uint64_t{1} << 32) - (at & 0xffffffffu);
    const std::size_t left = values.size() - done;
    const std::size_t n = left < run ? left : static_cast<std::size_t>(run);
    sum += FoldRun(values.data() + done, n, at, stream);
    done += n;
  }
  return sum;
}

constexpr Kernels MakeTable(const char* name) {
  return {name,
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
}

}  // namespace
}  // namespace muster::exact
