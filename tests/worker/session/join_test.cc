// A member's way in: hello, warm, first view, the steps, the end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/session/bench.h"

namespace muster::session {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using P = api::MemberPhase;

TEST(SessionTest, JoinsLoadsOnceAndWaitsWarm) {
  Bench b;
  EXPECT_THAT(b.Do(StreamUp{}),
              ElementsAre("Send Hello 0.0 e0 pending=0 joining committed=0 stateless kept=s0{}"));
  EXPECT_THAT(b.Hear(api::Welcome{}), ElementsAre("LoadJob"));
  EXPECT_EQ(b.phase(), P::kLoading);
  EXPECT_THAT(b.Do(Loaded{}), ElementsAre("Send Warm"));
  EXPECT_EQ(b.phase(), P::kWarm);
  b.Do(StreamDown{});
  EXPECT_THAT(
      b.Do(StreamUp{}),
      ElementsAre("Send Hello 0.0 e0 pending=0 warm committed=0 stateless kept=s0{}", "Send Warm"));
  EXPECT_THAT(b.Hear(api::Welcome{}), IsEmpty()) << "a second Welcome is not loaded again";
}

// A drain of the only worker never ended: the one that was to take over did not count as ready, so
// the disruption budget let nobody go.
TEST(SessionTest, IsReadyWhileItWaitsWarm) {
  Bench b;
  b.Do(StreamUp{});
  b.Hear(api::Welcome{});
  EXPECT_FALSE(b.ready()) << "its data is being read";
  b.Do(Loaded{});
  EXPECT_TRUE(b.ready());
  b.Do(StreamDown{});
  EXPECT_FALSE(b.ready()) << "nobody can take it in";
  b.Do(StreamUp{});
  b.Install(ViewBuilder(1, {0, 1}).Fresh());
  b.Do(StreamDown{});
  EXPECT_TRUE(b.ready()) << "in a view it needs no coordinator";
}

TEST(SessionTest, FreshViewComputesBeforeTheRingAndReducesAfterIt) {
  Bench b;
  b.Warm();
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(1, {0, 1}).Fresh()}),
              ElementsAre("ConnectRing e1 rank=0", "MakeFreshState"));
  EXPECT_EQ(b.phase(), P::kInstalling);
  EXPECT_THAT(b.Do(StateMade{7, 0}), ElementsAre("ClearSums s1", "ComputeSlots s1{0 1 2}"));
  EXPECT_THAT(b.Slots({0, 1, 2}), IsEmpty()) << "Reduce needs the ring";
  EXPECT_THAT(
      b.Do(RingReady{base::Epoch(1), 0.1}),
      ElementsAre("Send Installed e1 resume=1 digest=7", "Reduce e1 s1 view=0 checkpoint=0"));
  EXPECT_EQ(b.phase(), P::kReducing);
  EXPECT_THAT(b.Reduce(), ElementsAre("ApplyStep 1"));
  EXPECT_EQ(b.phase(), P::kApplying);
  EXPECT_THAT(b.Apply(),
              ElementsAre("Send Committed e1 step=1 attempt=0 digest=101 computed=3",
                          "LearnStepTime", "ClearSums s2", "ComputeSlots s2{0 1 2} ahead e1"));
  EXPECT_EQ(b.committed(), 1);
}

TEST(SessionTest, LastStepCopiesEvaluatesAndWaits) {
  Bench b(0, {.steps = 2, .checkpoint_every = 0, .evaluate_every = 0});
  b.Warm();
  b.Install(ViewBuilder(1, {0, 1}).Fresh());
  b.FullStep();
  b.Slots({0, 1, 2});
  b.Reduce();
  EXPECT_THAT(b.Apply(), ElementsAre("Send Committed e1 step=2 attempt=0 digest=102 computed=3",
                                     "LearnStepTime", "ClearSums s3",
                                     "CopyForCheckpoint 2 rank=0/2 final", "EvaluateShare e1 2"));
  EXPECT_EQ(b.phase(), P::kEvaluating);
  EXPECT_THAT(b.Do(Evaluated{base::Step(2), 1.5, base::Epoch(1)}),
              ElementsAre("Send Evaluated step=2"));
  EXPECT_EQ(b.phase(), P::kWaiting);
  b.Do(StateCopied{base::Step(2)});
  // Nobody else will write, and no later contact comes for what waits for one.
  EXPECT_THAT(b.Hear(api::Finish{}), ElementsAre("WriteStepLine 2", "Exit 0"));
  EXPECT_THAT(b.Do(Tick{}), IsEmpty());
}

TEST(SessionTest, FinishOfAFailedJobExitsWithItsCode) {
  Bench b;
  b.Warm();
  EXPECT_THAT(b.Hear(api::Finish{false, "BelowMin", "too few"}),
              ElementsAre("Exit 78 (BelowMin: too few)"));
}

TEST(SessionTest, CopyDelaysTheNextUpdateButNotTheNextSlots) {
  Bench b(0, {.steps = 9, .checkpoint_every = 1, .evaluate_every = 0});
  b.Warm();
  b.Install(ViewBuilder(1, {0, 1}).Fresh());
  b.Slots({0, 1, 2});
  b.Reduce();
  EXPECT_THAT(b.Apply(), Contains("CopyForCheckpoint 1 rank=0/2"));
  EXPECT_THAT(b.Slots({0, 1, 2}), ElementsAre("Reduce e1 s2 view=0 checkpoint=0"));
  EXPECT_THAT(b.Reduce(), IsEmpty());
  EXPECT_THAT(b.Do(StateCopied{base::Step(1)}), ElementsAre("ApplyStep 2"));
}

TEST(SessionTest, EvaluationEndsBeforeTheNextReduction) {
  Bench b(0, {.steps = 9, .checkpoint_every = 0, .evaluate_every = 1});
  b.Warm();
  b.Install(ViewBuilder(1, {0, 1}).Fresh());
  b.Slots({0, 1, 2});
  b.Reduce();
  EXPECT_THAT(b.Apply(), Contains("EvaluateShare e1 1"));
  EXPECT_THAT(b.Slots({0, 1, 2}), IsEmpty());
  EXPECT_THAT(b.Do(Evaluated{base::Step(1), 2.0, base::Epoch(1)}),
              ElementsAre("Send Evaluated step=1", "Reduce e1 s2 view=0 checkpoint=0"));
}

TEST(SessionTest, SaturatedStepIsRedoneOnceWithItsOwnMaxima) {
  Bench b;
  b.Warm();
  b.Install(ViewBuilder(1, {0, 1}).Fresh());
  b.Slots({0, 1, 2});
  b.next.saturated = true;
  b.next.next_exponents = 9;
  EXPECT_THAT(b.Reduce(), ElementsAre("ClearSums s1a1x9", "ComputeSlots s1a1x9{0 1 2}"));
  EXPECT_THAT(b.Slots({0, 1, 2}), ElementsAre("Reduce e1 s1a1x9 view=0 checkpoint=0"));
  b.next.saturated = true;
  EXPECT_THAT(b.Reduce(), ElementsAre(StartsWith("Send Failing Invariant"), StartsWith("Exit 70")));
}

TEST(SessionTest, BrokenCountersEndTheProcess) {
  Bench b;
  b.Warm();
  b.Install(ViewBuilder(1, {0, 1}).Fresh());
  b.Slots({0, 1, 2});
  b.next.counters_ok = false;
  EXPECT_THAT(b.Reduce(), ElementsAre(StartsWith("Send Failing Invariant"), StartsWith("Exit 70")));
}

TEST(SessionTest, RestoredViewStartsFromTheCheckpoint) {
  Bench b;
  b.Warm();
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(1, {0, 1}).Restore(4)}),
              ElementsAre("ConnectRing e1 rank=0", "RestoreState 4"));
  EXPECT_THAT(b.Do(StateRestored{55, base::Step(4), 0}),
              ElementsAre("ClearSums s5", "ComputeSlots s5{0 1 2}"));
  EXPECT_THAT(b.Do(RingReady{base::Epoch(1), 0}),
              ElementsAre("Send Installed e1 resume=5 digest=55"));
}

TEST(SessionTest, UnreadableCheckpointIsSaidNamingNobodyElse) {
  Bench b;
  b.Warm();
  b.Hear(api::InstallView{ViewBuilder(1, {0, 1}).Restore(4)});
  EXPECT_THAT(b.Do(RestoreFailed{"truncated"}), ElementsAre("Send CannotReach e1 0.0 (truncated)"));
  EXPECT_THAT(b.Do(RestoreFailed{"other build", false}),
              ElementsAre(StartsWith("Send CannotReach e1 (other build")))
      << "an intact checkpoint is not given up";
}

TEST(SessionTest, BrokenSaysWhyAndExitsWithItsCode) {
  Bench b;
  b.Do(StreamUp{});
  b.Hear(api::Welcome{});
  EXPECT_THAT(b.Do(Broken{api::ExitCode::kData, "DataUnreadable", "no such file"}),
              ElementsAre("Send Failing DataUnreadable (no such file)", "Exit 74 (no such file)"));
}

TEST(SessionTest, AckedReportsAreNotSentAgain) {
  Bench b;
  b.Warm();
  b.Install(ViewBuilder(1, {0, 1}).Fresh());
  b.FullStep();
  b.FullStep();
  b.Hear(api::CommitAck{base::Step(1)});
  const auto lines = b.Do(StreamUp{});
  EXPECT_THAT(lines, ElementsAre("Send Hello 0.0 e1 pending=0 forward committed=2 kept=s3{}",
                                 "Send Committed e1 step=2 attempt=0 digest=102 computed=3"));
}

}  // namespace
}  // namespace muster::session
