#include "worker/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace muster::train {
namespace {

TEST(ScheduleTest, RisesLinearlyThenFallsAlongACosineToATenth) {
  const Schedule schedule{.peak = 2.0, .warmup_steps = 10, .steps = 110};
  EXPECT_EQ(schedule.LearningRate(1), 0.2);
  EXPECT_EQ(schedule.LearningRate(5), 1.0);
  EXPECT_EQ(schedule.LearningRate(10), 2.0);
  EXPECT_NEAR(schedule.LearningRate(60), 0.5 * (2.0 + 0.2), 1e-12);
  EXPECT_NEAR(schedule.LearningRate(110), 0.2, 1e-12);
  for (int step = 11; step <= 110; ++step) {
    const double share = (step - 10) / 100.0;
    EXPECT_NEAR(schedule.LearningRate(step), 2.0 * (0.1 + 0.9 * 0.5 * (1 + std::cos(M_PI * share))),
                1e-12);
    EXPECT_LT(schedule.LearningRate(step), schedule.LearningRate(step - 1));
  }
}

TEST(ScheduleTest, EdgesAreFinite) {
  const Schedule none{.peak = 1.0, .warmup_steps = 0, .steps = 1};
  EXPECT_NEAR(none.LearningRate(1), 0.1, 1e-12);
  const Schedule all{.peak = 1.0, .warmup_steps = 5, .steps = 5};
  EXPECT_EQ(all.LearningRate(5), 1.0);
  const Schedule longer{.peak = 1.0, .warmup_steps = 10, .steps = 5};
  EXPECT_EQ(longer.LearningRate(5), 0.5);
}

}  // namespace
}  // namespace muster::train
