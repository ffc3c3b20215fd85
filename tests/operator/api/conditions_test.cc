// One condition per type; the time is that of the last change of status.
#include "operator/api/conditions.h"

#include <gtest/gtest.h>

namespace muster::api {
namespace {

base::WallTime At(int seconds) { return base::WallTime(std::chrono::seconds(seconds)); }

TEST(ConditionsTest, KeepsTheTimeWhileTheStatusStays) {
  std::vector<Condition> conditions;
  EXPECT_TRUE(SetCondition(conditions, {"Running", "True", "Training", "with 4", At(1)}));
  EXPECT_TRUE(SetCondition(conditions, {"Running", "True", "Training", "with 3", At(2)}));
  EXPECT_EQ(conditions, (std::vector<Condition>{{"Running", "True", "Training", "with 3", At(1)}}));
}

TEST(ConditionsTest, TakesTheTimeWhenTheStatusChanges) {
  std::vector<Condition> conditions = {{"Running", "True", "Training", "with 4", At(1)}};
  EXPECT_TRUE(SetCondition(conditions, {"Running", "False", "BelowMin", "none", At(5)}));
  EXPECT_EQ(conditions[0].last_transition_time, At(5));
  EXPECT_FALSE(IsTrue(conditions, "Running"));
}

TEST(ConditionsTest, SaysWhenNothingChanged) {
  std::vector<Condition> conditions = {{"Failed", "True", "BadData", "m", At(1)}};
  EXPECT_FALSE(SetCondition(conditions, {"Failed", "True", "BadData", "m", At(9)}));
  EXPECT_TRUE(IsTrue(conditions, "Failed"));
  EXPECT_EQ(FindCondition(conditions, "Running"), nullptr);
  EXPECT_FALSE(IsTrue(conditions, "Running"));
}

}  // namespace
}  // namespace muster::api
