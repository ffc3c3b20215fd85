// Our exp, log, sine and cosine against libm: the documented error bounds.
#include "worker/kernels/math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace muster::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Distance in units of the last place of `expected`, which is known to more digits.
double UlpsFloat(float actual, double expected) {
  const float rounded = static_cast<float>(expected);
  const double ulp = std::nextafter(std::abs(rounded), kInfinity) - std::abs(rounded);
  return std::abs(static_cast<double>(actual) - expected) / ulp;
}

TEST(MathTest, ExpIsWithinTwoUlps) {
  double worst = 0;
  for (double x = -87.33; x < 88.72; x += 0.000731) {
    const float f = static_cast<float>(x);
    worst = std::max(worst, UlpsFloat(Exp(f), std::exp(static_cast<double>(f))));
  }
  EXPECT_LE(worst, 2.0);
  for (float x = 1e-30f; x < 1; x *= 1.5f) {
    EXPECT_LE(UlpsFloat(Exp(x), std::exp(static_cast<double>(x))), 2.0) << x;
    EXPECT_LE(UlpsFloat(Exp(-x), std::exp(-static_cast<double>(x))), 2.0) << x;
  }
}

TEST(MathTest, ExpOfEdges) {
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_EQ(Exp(-0.0f), 1.0f);
  EXPECT_EQ(Exp(-87.34f), 0.0f);
  EXPECT_EQ(Exp(-kInfinity), 0.0f);
  EXPECT_EQ(Exp(-1e30f), 0.0f);
  EXPECT_EQ(Exp(88.73f), kInfinity);
  EXPECT_EQ(Exp(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(Exp(std::nanf(""))));
}

TEST(MathTest, LogIsWithinTwoUlps) {
  const auto ulps = [](double x) {
    const double expected = std::log(x);
    const double ulp = std::nextafter(std::abs(expected), 1e300) - std::abs(expected);
    return std::abs(Log(x) - expected) / ulp;
  };
  double worst = 0;
  for (double x = 1e-300; x < 1e300; x *= 1.0173) worst = std::max(worst, ulps(x));
  for (double x = 0.5; x < 2; x += 0.0000713) worst = std::max(worst, ulps(x));
  EXPECT_LE(worst, 2.0);
}

TEST(MathTest, LogOfEdges) {
  EXPECT_EQ(Log(1.0), 0.0);
  EXPECT_EQ(Log(0.0), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(Log(std::numeric_limits<double>::infinity()), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(Log(-1.0)));
  EXPECT_TRUE(std::isnan(Log(std::nan(""))));
}

TEST(MathTest, SineAndCosineOfTurnsAreExactToTheLastBitOfOne) {
  // In long double: 2 pi u in double is itself off by more than the bound.
  constexpr long double kTwoPi = 6.283185307179586476925286766559L;
  long double worst = 0;
  for (double u = 0; u <= 1; u += 0.00001231) {
    const SinCos turn = SinCos2Pi(u);
    worst = std::max(worst, std::abs(turn.sin - std::sin(kTwoPi * u)));
    worst = std::max(worst, std::abs(turn.cos - std::cos(kTwoPi * u)));
  }
  EXPECT_LE(worst, 0x1.0p-52L);
  EXPECT_EQ(SinCos2Pi(0).cos, 1);
  EXPECT_EQ(SinCos2Pi(0.25).sin, 1);
  EXPECT_EQ(SinCos2Pi(0.25).cos, 0);
  EXPECT_EQ(SinCos2Pi(0.5).cos, -1);
  EXPECT_EQ(SinCos2Pi(1).cos, 1);
}

}  // namespace
}  // namespace muster::kernels
