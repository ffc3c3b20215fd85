#include "worker/train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace muster::train {
namespace {

struct Vectors {
  std::vector<float> w, m, v;
  friend bool operator==(const Vectors&, const Vectors&) = default;
};

std::vector<float> Wave(std::size_t n, float scale) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) {
    values[i] = scale * static_cast<float>(std::sin(0.37 * static_cast<double>(i + 1)));
  }
  return values;
}

TEST(OptimizerTest, FollowsAdamWInDoubleOverManyUpdates) {
  constexpr std::size_t kN = 131;
  Vectors state{Wave(kN, 1), std::vector<float>(kN), std::vector<float>(kN)};
  std::vector<double> w(state.w.begin(), state.w.end()), m(kN), v(kN);
  for (int update = 1; update <= 50; ++update) {
    const std::vector<float> gradient = Wave(kN, 1.0f / static_cast<float>(update));
    const AdamWOptions options{
        .learning_rate = 0.01, .weight_decay = 0.1, .clip_factor = 0.5, .update = update};
    AdamWBlock(MakeAdamWParams(options), gradient, state.w, state.m, state.v);
    for (std::size_t i = 0; i < kN; ++i) {
      const double g = 0.5 * gradient[i];
      m[i] = 0.9 * m[i] + 0.1 * g;
      v[i] = 0.95 * v[i] + 0.05 * g * g;
      const double m_hat = m[i] / (1 - std::pow(0.9, update));
      const double v_hat = v[i] / (1 - std::pow(0.95, update));
      w[i] -= 0.01 * (m_hat / (std::sqrt(v_hat) + 1e-8) + 0.1 * w[i]);
      ASSERT_NEAR(state.w[i], w[i], 2e-5) << update << " " << i;
      ASSERT_NEAR(state.m[i], m[i], 1e-6);
      ASSERT_NEAR(state.v[i], v[i], 1e-6);
    }
  }
}

TEST(OptimizerTest, AnyCutIntoBlocksGivesTheSameBits) {
  constexpr std::size_t kN = 1000;
  const std::vector<float> gradient = Wave(kN, 0.3f);
  const Vectors start{Wave(kN, 1), Wave(kN, 0.01f), std::vector<float>(kN, 0.02f)};
  const AdamWParams params = MakeAdamWParams({.weight_decay = 0.1, .update = 7});
  Vectors whole = start;
  AdamWBlock(params, gradient, whole.w, whole.m, whole.v);
  for (std::size_t block : {1u, 3u, 16u, 77u, 999u}) {
    Vectors cut = start;
    for (std::size_t at = 0; at < kN; at += block) {
      const std::size_t n = std::min(block, kN - at);
      AdamWBlock(params, std::span(gradient).subspan(at, n), std::span(cut.w).subspan(at, n),
                 std::span(cut.m).subspan(at, n), std::span(cut.v).subspan(at, n));
    }
    EXPECT_EQ(cut, whole) << block;
  }
}

TEST(OptimizerTest, DecayIsDecoupledAndStepsDoNotDependOnTheGradientsScale) {
  // No gradient and no moments: only decay moves a weight.
  Vectors state{{2.0f}, {0.0f}, {0.0f}};
  const std::vector<float> none = {0.0f};
  AdamWBlock(MakeAdamWParams({.learning_rate = 0.5, .weight_decay = 0.5}), none, state.w, state.m,
             state.v);
  EXPECT_EQ(state.w[0], 1.5f);
  // The first update has the learning rate's size, whatever the gradient's.
  for (float g : {1e-3f, 1.0f, 1e3f}) {
    Vectors first{{0.0f}, {0.0f}, {0.0f}};
    const std::vector<float> gradient = {g};
    AdamWBlock(MakeAdamWParams({.learning_rate = 0.25}), gradient, first.w, first.m, first.v);
    EXPECT_NEAR(first.w[0], -0.25f, 1e-5);
  }
}

TEST(OptimizerTest, NaNReachesTheState) {
  Vectors state{{1.0f}, {0.0f}, {0.0f}};
  const std::vector<float> gradient = {std::numeric_limits<float>::quiet_NaN()};
  AdamWBlock(MakeAdamWParams({}), gradient, state.w, state.m, state.v);
  EXPECT_TRUE(std::isnan(state.w[0]) && std::isnan(state.m[0]) && std::isnan(state.v[0]));
}

TEST(OptimizerTest, ClipsOnlyAboveTheLimit) {
  EXPECT_EQ(ClipFactor(0.5, 1.0), 1.0);
  EXPECT_EQ(ClipFactor(1.0, 1.0), 1.0);
  EXPECT_EQ(ClipFactor(4.0, 1.0), 0.25);
  EXPECT_EQ(ClipFactor(4.0, 0.0), 1.0) << "0 means off";
}

}  // namespace
}  // namespace muster::train
