// exp, log, sine and cosine without libm, which differs by machine and release (E3).
//
// Polynomials over additions, products and divisions in a fixed order: the same bits everywhere and
// in every vector width, since the project is compiled without contraction to fused multiply-add.
// Float functions are templates over a float or a GCC vector of floats and must stay always_inline:
// a copy out of line, compiled for a newer CPU, could be linked into code for an older one.
//
// Error bounds, held by tests against libm: Exp 2 ulp; Log 2 ulp; SinCos2Pi 2^-52 absolute.
#pragma once

#include <cstdint>

namespace muster::kernels {

#define MUSTER_INLINE [[gnu::always_inline]] inline

template <typename F>
struct BitsOf;
template <>
struct BitsOf<float> {
  using type = std::uint32_t;
};

// e^x. Below the smallest normal float (x < -87.336) it is 0, above the largest Inf; NaN stays NaN.
// Cephes' expf: x = n ln 2 + r, a polynomial of degree 7 on |r| <= ln 2 / 2, then 2^n in two
// factors.
template <typename F>
MUSTER_INLINE F Exp(F x) {
  using U = typename BitsOf<F>::type;
  const F zero = F{};
  const F low = zero - 87.336544f;
  const F high = zero + 89.0f;
  const F magic = zero + 12582912.0f;  // 1.5 x 2^23: adding it rounds to an integer in the low bits
  F c = x > high ? high : x;
  c = c < low ? low : c;
  const F shifted = c * 1.44269504f + magic;
  const F n = shifted - magic;
  F r = c - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  F p = zero + 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // n + 256, unsigned, so that halving needs no signed shift.
  const U u = __builtin_bit_cast(U, shifted) - (0x4B400000u - 256u);
  const U half = u >> 1;
  const F scale1 = __builtin_bit_cast(F, (half - 1u) << 23);
  const F scale2 = __builtin_bit_cast(F, (u - half - 1u) << 23);
  const F y = p * scale1 * scale2;
  return x < low ? zero : y;
}

// Natural logarithm of a positive, finite, normal x; others: 0 gives -Inf, Inf Inf, negative or NaN
// NaN.
MUSTER_INLINE double Log(double x) {
  if (!(x > 0)) return x == 0 ? -__builtin_inf() : __builtin_nan("");
  if (x > 1.7976931348623157e308) return x;
  std::uint64_t bits = __builtin_bit_cast(std::uint64_t, x);
  std::int64_t exponent = static_cast<std::int64_t>(bits >> 52) - 1023;
  bits = (bits & 0x000FFFFFFFFFFFFFull) | 0x3FF0000000000000ull;
  double m = __builtin_bit_cast(double, bits);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  // log m = 2 atanh(s) with s = (m - 1) / (m + 1), |s| < 0.1716: thirteen terms leave less than
  // 2^-60.
  const double f = m - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  double p = 1.0 / 25;
  for (int odd = 23; odd >= 3; odd -= 2) p = p * z + 1.0 / odd;
  // 2 s = f - s f exactly enough: keeps the leading term free of the division's error.
  const double log_m = f - s * (f - 2.0 * z * p);
  const double e = static_cast<double>(exponent);
  return e * 6.93147180369123816490e-01 + (e * 1.90821492927058770002e-10 + log_m);
}

struct SinCos {
  double sin = 0;
  double cos = 0;
};

// Sine and cosine of 2 pi u for u in [0, 1].
MUSTER_INLINE SinCos SinCos2Pi(double u) {
  const double t = 4.0 * u;
  const std::int64_t quadrant = static_cast<std::int64_t>(t + 0.5);
  const double a = (t - static_cast<double>(quadrant)) * 1.5707963267948966;  // |a| <= pi / 4
  const double z = a * a;
  double s = 1.0, c = 1.0;  // Taylor series to a^19 and a^18, from the inside out
  for (int k = 18; k >= 2; k -= 2) {
    s = 1.0 - s * z * (1.0 / (k * (k + 1)));
    c = 1.0 - c * z * (1.0 / (k * (k - 1)));
  }
  s *= a;
  switch (quadrant & 3) {
    case 0:
      return {s, c};
    case 1:
      return {c, -s};
    case 2:
      return {-s, -c};
    default:
      return {-c, s};
  }
}

}  // namespace muster::kernels
