// The norm's tree: a fixed shape, and the sum it stands for.

#include "worker/exact/norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "operator/base/rng.h"

namespace muster::exact {
namespace {

TEST(NormTest, IsTheSumOfSquares) {
  base::SplitMix rng(1);
  for (std::size_t n : {0, 1, 15, 16, 17, 4095, 4096, 4097, 20000}) {
    std::vector<std::int64_t> q(n);
    std::vector<std::int32_t> q32(n);
    long double expected = 0;
    for (std::size_t i = 0; i < n; ++i) {
      q32[i] = static_cast<std::int32_t>(rng.Next() >> 40) - (1 << 23);
      q[i] = q32[i];
      expected += static_cast<long double>(q[i]) * q[i] * 0.25L;
    }
    const auto want = static_cast<double>(expected);
    EXPECT_NEAR(SquareSum64(q, 0.5), want, want * 1e-13);
    EXPECT_EQ(SquareSum64(q, 0.5), SquareSum32(q32, 0.5));
  }
}

TEST(NormTest, TreeShapeIsFixedByTheLength) {
  // (a + b) + (c + d), then + e: chosen so that another order gives other bits.
  const double big = 0x1p53;
  EXPECT_EQ(TreeSum(std::vector{big, 1.0, -big, 1.0}), (big + 1.0) + (-big + 1.0));
  EXPECT_EQ(TreeSum(std::vector{1.0, 1.0, 1.0, 1.0, big}), 4.0 + big);
  EXPECT_EQ(TreeSum({}), 0.0);
}

TEST(NormTest, LanesAndBlocksAreAsDocumented) {
  std::vector<float> g(4096 + 5);
  base::SplitMix rng(9);
  for (float& x : g) x = static_cast<float>(rng.Uniform());
  const auto block = [&](std::size_t from, std::size_t to) {
    std::vector<double> lanes(16, 0.0);
    for (std::size_t i = from; i < to; ++i) {
      const double x = static_cast<double>(g[i]) * 0.75;
      lanes[(i - from) % 16] += x * x;
    }
    return TreeSum(lanes);
  };
  EXPECT_EQ(SquareSumFloat(g, 0.75), block(0, 4096) + block(4096, g.size()));
}

}  // namespace
}  // namespace muster::exact
