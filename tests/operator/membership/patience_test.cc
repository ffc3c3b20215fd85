// When joins and views after a break are due, in tables.
#include "operator/membership/patience.h"

#include <gtest/gtest.h>

namespace muster::membership {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

base::Time At(int ms) { return base::Time(milliseconds(ms)); }

TEST(JoinDueTest, ByIntervalLossAndNumber) {
  constexpr base::Duration kShort = milliseconds(200);
  constexpr base::Duration kNone{0};
  constexpr base::Duration kNccl = kNcclJoinInterval;
  constexpr base::Duration kLong = kNcclJoinBatch;
  struct Row {
    const char* name;
    JoinTiming timing;
    int due_ms;
  };
  const Row rows[] = {
      {"ring, all that are wanted", {kNone, kShort, At(900), false, true, At(1000)}, 1000},
      {"ring, more are wanted", {kNone, kShort, At(900), false, false, At(1000)}, 1200},
      {"NCCL, nobody came in before", {kNccl, kLong, {}, false, true, At(1000)}, 1000},
      {"NCCL, processes that start together", {kNccl, kLong, {}, false, false, At(1000)}, 6000},
      {"NCCL, soon after others", {kNccl, kLong, At(900), false, true, At(1000)}, 30900},
      {"NCCL, soon after others, not all", {kNccl, kLong, At(900), false, false, At(30000)}, 35000},
      {"NCCL, the first after a loss", {kNccl, kLong, At(900), true, true, At(1000)}, 1000},
      {"NCCL, the first of several lost", {kNccl, kLong, At(900), true, false, At(1000)}, 6000},
      {"NCCL, long after others", {kNccl, kLong, At(900), false, true, At(40000)}, 40000},
  };
  for (const Row& row : rows) EXPECT_EQ(JoinDue(row.timing), At(row.due_ms)) << row.name;
}

TEST(DecideOnBreakTest, TriesAgainEvictsAndFails) {
  struct Row {
    int in_row, by_the_same;
    bool can_spare;
    BreakAnswer answer;
    int pause_s;
  };
  const Row rows[] = {
      {1, 1, true, BreakAnswer::kTryAgain, 0},  // most often a death, told a moment later
      {2, 2, true, BreakAnswer::kTryAgain, 1},
      {3, 1, true, BreakAnswer::kTryAgain, 2},
      {3, 3, true, BreakAnswer::kEvict, 2},
      {3, 3, false, BreakAnswer::kTryAgain, 2},  // it alone has the state
      {4, 3, true, BreakAnswer::kEvict, 4},
      {5, 2, true, BreakAnswer::kTryAgain, 8},
      {6, 1, true, BreakAnswer::kFail, 0},
      {6, 3, true, BreakAnswer::kFail, 0},
  };
  for (const Row& row : rows) {
    const auto decision = DecideOnBreak(row.in_row, row.by_the_same, row.can_spare);
    EXPECT_EQ(decision.answer, row.answer) << row.in_row << " " << row.by_the_same;
    EXPECT_EQ(decision.pause, seconds(row.pause_s)) << row.in_row << " " << row.by_the_same;
  }
}

}  // namespace
}  // namespace muster::membership
