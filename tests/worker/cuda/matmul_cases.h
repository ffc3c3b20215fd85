// Products for whoever multiplies: their inputs, and what must come out within the error of floats
// and of rounding to bfloat16.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "operator/base/rng.h"
#include "worker/cuda/bf16.h"
#include "worker/cuda/matmul.h"

namespace muster::cuda {

struct ProductResult {
  std::vector<float> c, pre;
};

struct Sides {
  std::int64_t m = 0, n = 0, k = 0;
};

struct ProductCase {
  Sides sides;
  bool a_transposed = false, b_transposed = false, is_float = false, accumulate = false;
  Epilogue epilogue = Epilogue::kNone;
  std::int64_t a_stride = 0, b_stride = 0, stride = 0;
  std::vector<Bf16> a, b, bias, pre;
  std::vector<float> before;  // of c_float

  std::size_t out_size() const { return static_cast<std::size_t>(sides.m * stride); }

  // All but the output.
  Product Describe(const Bf16* at_a, const Bf16* at_b, const Bf16* at_bias, Bf16* at_pre) const {
    Product p;
    p.m = sides.m;
    p.n = sides.n;
    p.k = sides.k;
    p.a = {at_a, a_stride, a_transposed};
    p.b = {at_b, b_stride, b_transposed};
    p.stride = stride;
    p.accumulate = accumulate;
    p.epilogue = epilogue;
    if (epilogue == Epilogue::kBias || epilogue == Epilogue::kBiasGelu) p.bias = at_bias;
    if (epilogue == Epilogue::kBiasGelu || epilogue == Epilogue::kGeluBackward) p.pre = at_pre;
    return p;
  }

  std::string Name() const {
    return std::to_string(sides.m) + " x " + std::to_string(sides.n) + " x " +
           std::to_string(sides.k) + (a_transposed ? " a^T" : "") + (b_transposed ? " b^T" : "") +
           " epilogue " + std::to_string(static_cast<int>(epilogue)) + (accumulate ? " +=" : "");
  }

  void Compare(const ProductResult& result) const {
    for (std::int64_t r = 0; r < sides.m; ++r) {
      for (std::int64_t column = 0; column < sides.n; ++column) {
        CompareElement(result, r, column);
        if (testing::Test::HasFailure()) return;
      }
    }
  }

 private:
  static double GeluOf(double x) {
    return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
  }
  static double GeluSlope(double x) {
    const double t = std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
  }
  double A(std::int64_t r, std::int64_t i) const {
    return static_cast<double>(
        ToFloat(a[static_cast<std::size_t>(a_transposed ? i * a_stride + r : r * a_stride + i)]));
  }
  double B(std::int64_t i, std::int64_t column) const {
    return static_cast<double>(ToFloat(
        b[static_cast<std::size_t>(b_transposed ? column * b_stride + i : i * b_stride + column)]));
  }

  void CompareElement(const ProductResult& result, std::int64_t r, std::int64_t column) const {
    const auto at = static_cast<std::size_t>(r * stride + column);
    double sum = 0, size = 0;
    for (std::int64_t i = 0; i < sides.k; ++i) {
      sum += A(r, i) * B(i, column);
      size += std::fabs(A(r, i) * B(i, column));
    }
    const double bias_here = static_cast<double>(ToFloat(bias[static_cast<std::size_t>(column)]));
    double expected = sum;
    if (accumulate) expected += static_cast<double>(before[at]);
    if (epilogue == Epilogue::kBias) expected += bias_here;
    if (epilogue == Epilogue::kBiasGelu) {
      EXPECT_NEAR(result.pre[at], sum + bias_here, 1e-5 * size + std::fabs(sum + bias_here) / 256);
      expected = GeluOf(sum + bias_here);
    }
    if (epilogue == Epilogue::kGeluBackward) expected *= GeluSlope(ToFloat(pre[at]));
    // Floats lose at most k units of 2^-24 of the terms' sizes; a rounding to bfloat16 2^-9 of the
    // number, twice where GELU is of the rounded pre-activation, whose slope is below 1.13.
    double bound = 1e-5 * (size + 1);
    if (!is_float) bound += std::fabs(expected) / 256;
    if (epilogue == Epilogue::kBiasGelu) bound += 1.2 * std::fabs(sum + bias_here) / 256;
    EXPECT_NEAR(result.c[at], expected, bound) << Name() << " at " << r << ", " << column;
  }
};

inline std::vector<Bf16> CaseNumbers(std::int64_t size, std::uint64_t seed) {
  base::SplitMix random(seed);
  std::vector<Bf16> values;
  for (std::int64_t i = 0; i < size; ++i) {
    values.push_back(ToBf16(static_cast<float>(2 * random.Uniform() - 1)));
  }
  return values;
}

// Rows are 8 elements longer than they need be; what lies there is read by nobody or is wrong.
inline ProductCase MakeProductCase(const Sides& sides, bool a_transposed, bool b_transposed,
                                   Epilogue epilogue) {
  ProductCase c;
  c.sides = sides;
  c.a_transposed = a_transposed;
  c.b_transposed = b_transposed;
  c.epilogue = epilogue;
  c.a_stride = (a_transposed ? sides.m : sides.k) + 8;
  c.b_stride = (b_transposed ? sides.k : sides.n) + 8;
  c.stride = sides.n + 8;
  c.a = CaseNumbers((a_transposed ? sides.k : sides.m) * c.a_stride, 1);
  c.b = CaseNumbers((b_transposed ? sides.n : sides.k) * c.b_stride, 2);
  c.bias = CaseNumbers(sides.n, 3);
  c.pre = CaseNumbers(sides.m * c.stride, 4);
  for (const Bf16 value : CaseNumbers(sides.m * c.stride, 5)) c.before.push_back(ToFloat(value));
  return c;
}

// The engine's products: forward, back to x, back to a weight, with and without what was there.
inline std::vector<ProductCase> ProductCases() {
  std::vector<ProductCase> cases;
  const Sides all[] = {{8, 8, 8}, {16, 16, 16}, {1, 16, 48}, {40, 72, 16}, {65, 136, 104}};
  for (const Sides& sides : all) {
    for (const Epilogue epilogue : {Epilogue::kNone, Epilogue::kBias, Epilogue::kBiasGelu}) {
      cases.push_back(MakeProductCase(sides, false, false, epilogue));
    }
    cases.push_back(MakeProductCase(sides, false, true, Epilogue::kNone));
    cases.push_back(MakeProductCase(sides, false, true, Epilogue::kGeluBackward));
  }
  // The inner side of a^T b is a number of rows: any.
  const Sides weights[] = {{8, 8, 1}, {16, 48, 33}, {72, 80, 70}};
  for (const Sides& sides : weights) {
    for (const bool accumulate : {false, true}) {
      cases.push_back(MakeProductCase(sides, true, false, Epilogue::kNone));
      cases.back().is_float = true;
      cases.back().accumulate = accumulate;
    }
  }
  cases.push_back(MakeProductCase({24, 32, 40}, true, true, Epilogue::kNone));
  return cases;
}

}  // namespace muster::cuda
