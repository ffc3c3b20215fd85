// exp and GELU (tanh form) without a library's functions: the bits of worker/kernels/math.h and of
// its gelu and gelu_backward, for floats.
//
// For those bits the compiler must fuse no product with a sum; where it does (attention's kernels)
// results are as good and may differ in their last place. Thread rule: pure functions.
#pragma once

#include <cstdint>

#include "worker/cuda/bf16.h"
#include "worker/cuda/portable.h"

namespace muster::cuda {

// e^x: 0 below -87.34, infinite above 88.7, NaN stays NaN; within 2 units in the last place.
MUSTER_BOTH float Exp(float x) {
  const float low = -87.336544f;
  const float high = 89.0f;
  const float magic = 12582912.0f;  // 1.5 x 2^23
  float c = x > high ? high : x;
  c = c < low ? low : c;
  const float shifted = c * 1.44269504f + magic;
  const float n = shifted - magic;
  float r = c - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const std::uint32_t u = FloatBits(shifted) - (0x4B400000u - 256u);
  const std::uint32_t half = u >> 1;
  const float y = p * FloatOf((half - 1u) << 23) * FloatOf((u - half - 1u) << 23);
  return x < low ? 0.0f : y;
}

// The natural logarithm of a positive, normal double, as math.h's Log; others as there.
MUSTER_BOTH double Log(double x) {
  if (!(x > 0)) return x == 0 ? -1.0 / 0.0 : 0.0 / 0.0;
  if (x > 1.7976931348623157e308) return x;
  std::uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  std::int64_t exponent = static_cast<std::int64_t>(bits >> 52) - 1023;
  bits = (bits & 0x000FFFFFFFFFFFFFull) | 0x3FF0000000000000ull;
  double m;
  memcpy(&m, &bits, sizeof m);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double f = m - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  double p = 1.0 / 25;
  for (int odd = 23; odd >= 3; odd -= 2) p = p * z + 1.0 / odd;
  const double log_m = f - s * (f - 2.0 * z * p);
  const double e = static_cast<double>(exponent);
  return e * 6.93147180369123816490e-01 + (e * 1.90821492927058770002e-10 + log_m);
}

MUSTER_BOTH float GeluGate(float x) {
  const float minus_2u = x * -1.5957691216f * (1.0f + 0.044715f * (x * x));
  return 1.0f / (1.0f + Exp(minus_2u));
}

MUSTER_BOTH float Gelu(float x) { return x * GeluGate(x); }

MUSTER_BOTH float GeluBackward(float x, float dy) {
  const float gate = GeluGate(x);
  const float slope = 1.5957691216f * (1.0f + 0.134145f * (x * x));
  const float derivative = gate + x * (gate * (1.0f - gate)) * slope;
  return dy * derivative;
}

}  // namespace muster::cuda
