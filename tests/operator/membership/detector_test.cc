// Suspicion in a table: signs in, verdict out.
#include "operator/membership/detector.h"

#include <gtest/gtest.h>

namespace muster::membership {
namespace {

using std::chrono::milliseconds;

base::Time At(int ms) { return base::Time(milliseconds(ms)); }

const Limits kLimits{milliseconds(200), milliseconds(1000), milliseconds(100)};

struct Row {
  const char* name;
  Signs signs;
  int now;
  const char* reason;  // empty: no verdict
};

TEST(DetectorTest, JudgesBySignsAlone) {
  const std::vector<Row> rows = {
      {"beats", {At(900), {}, {}, {}, false}, 1000, ""},
      {"just before the timeout", {At(0), {}, {}, {}, false}, 999, ""},
      {"at the timeout", {At(0), {}, {}, {}, false}, 1000, "HeartbeatTimeout"},
      {"stream lost, grace not over", {At(0), At(50), {}, {}, false}, 149, ""},
      {"stream lost, grace over", {At(0), At(50), {}, {}, false}, 150, "StreamLost"},
      {"stream lost and a neighbour's reset",
       {At(0), At(50), At(51), {}, false},
       51,
       "WorkerKilled"},
      {"a neighbour's reset alone", {At(0), {}, At(51), {}, false}, 500, ""},
      {"the cluster's word", {At(400), {}, {}, At(401), false}, 401, "WorkerKilled"},
      {"suspect node, but it beats", {At(700), {}, {}, {}, true}, 1000, ""},
      {"suspect node and silent", {At(500), {}, {}, {}, true}, 1000, "HeartbeatTimeout"},
  };
  for (const Row& row : rows) {
    const auto verdict = Judge(row.signs, kLimits, At(row.now));
    EXPECT_EQ(verdict ? verdict->reason : "", row.reason) << row.name;
    if (verdict) {
      EXPECT_FALSE(verdict->message.empty()) << row.name;
      EXPECT_LE(verdict->since, At(row.now)) << row.name;
    }
  }
}

TEST(DetectorTest, AWaitGoesOnAfterASleepAndKeepsTwoBeats) {
  struct Case {
    const char* name;
    int since, slept, now, waits_since;
  };
  for (const Case& c : {Case{"moved by the sleep", 100, 5000, 5300, 5100},
                        Case{"nearly over, so two beats are left", 0, 300, 1200, 600},
                        Case{"heard last before it slept", 300, 5000, 5300, 5300}}) {
    EXPECT_EQ(WaitAfterSleep(At(c.since), kLimits.timeout, kLimits.heartbeat, milliseconds(c.slept),
                             At(c.now)),
              At(c.waits_since))
        << c.name;
  }
  // Shorter than two beats: it begins anew.
  EXPECT_EQ(WaitAfterSleep(At(0), milliseconds(300), kLimits.heartbeat, milliseconds(250), At(290)),
            At(290));
}

TEST(DetectorTest, NextJudgementIsWhenTheVerdictFalls) {
  const Signs silent{At(0), {}, {}, {}, false};
  EXPECT_EQ(NextJudgement(silent, kLimits), At(1000));
  const Signs lost{At(0), At(50), {}, {}, false};
  EXPECT_EQ(NextJudgement(lost, kLimits), At(150));
  const Signs hinted{At(0), {}, {}, {}, true};
  EXPECT_EQ(NextJudgement(hinted, kLimits), At(500));
}

TEST(DetectorTest, StepTimeIsTheMedianOfTheLastSixteen) {
  StepTimes times;
  EXPECT_FALSE(times.Median());
  EXPECT_EQ(StallLimit(times), std::chrono::seconds(30));
  for (int i = 0; i < 16; ++i) times.Add(milliseconds(100));
  EXPECT_EQ(StallLimit(times), std::chrono::seconds(5));
  for (int i = 0; i < 7; ++i) times.Add(std::chrono::seconds(60));
  EXPECT_EQ(times.Median(), milliseconds(100));
  for (int i = 0; i < 16; ++i) times.Add(std::chrono::seconds(2));
  EXPECT_EQ(StallLimit(times), std::chrono::seconds(20));
}

TEST(DetectorTest, OnlyWhoIsAwaitedStalls) {
  using enum api::MemberPhase;
  const base::Duration limit = std::chrono::seconds(5);
  std::vector<Pace> paces = {{{0, 0}, kForward, base::Step(7), At(0)},
                             {{1, 0}, kForward, base::Step(7), At(5000)}};
  EXPECT_FALSE(FindStalled(paces, limit, At(5000))) << "nobody waits for it";
  paces[1].phase = kReducing;
  EXPECT_EQ(FindStalled(paces, limit, At(5000)), (base::MemberId{0, 0}));
  EXPECT_FALSE(FindStalled(paces, limit, At(4999))) << "not long enough";
  paces[0].phase = kReducing;
  EXPECT_FALSE(FindStalled(paces, limit, At(9000))) << "both wait in the reduction";
}

}  // namespace
}  // namespace muster::membership
