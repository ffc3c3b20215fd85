// Whole observations in, whole plans out, and nothing else.
#include "operator/job/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/job/rules.h"
#include "tests/operator/job/acts.h"
#include "tests/operator/job/observed_builder.h"

namespace muster::job {
namespace {

using base::MemberId;
using std::chrono::seconds;
using testing::IsEmpty;

TEST(PlanTest, CreatesEveryPodOfANewJob) {
  ObservedBuilder o(3);
  EXPECT_EQ(Decide(o), (Acts{.creates = {{0, 0}, {1, 0}, {2, 0}}, .target = Target{3, 1}}));
}

TEST(PlanTest, CreatesSparesButDoesNotWantThemAsMembers) {
  ObservedBuilder o(2);
  o->job.spec.workers.spares = 1;
  EXPECT_EQ(Decide(o), (Acts{.creates = {{0, 0}, {1, 0}, {2, 0}}, .target = Target{2, 1}}));
}

TEST(PlanTest, LeavesACompleteJobAlone) {
  ObservedBuilder o(2);
  o.Trains(0).Trains(1);
  EXPECT_EQ(Decide(o), (Acts{.target = Target{2, 1}}));
}

TEST(PlanTest, TheSameObservationIsTheSamePlan) {
  ObservedBuilder o(3);
  o.Trains(0).Trains(1).Runs(2).Killed(9);
  EXPECT_EQ(MakePlan(*o, At(1)), MakePlan(*o, At(1)));
}

TEST(PlanTest, ReplacesAKilledPodAtOnceByTheNextIncarnation) {
  ObservedBuilder o(2);
  o.Trains(0).Runs(1).Killed(9).HadView();
  EXPECT_EQ(Decide(o), (Acts{.creates = {{1, 1}}, .deletes = {"pod-1.0"}, .target = Target{2, 1}}));
}

TEST(PlanTest, NamesAReplacementAfterThePodThatItReplaces) {
  ObservedBuilder o(1);
  o.Runs(0).Killed(9).HadView();
  const Plan plan = MakePlan(*o, At(0));
  ASSERT_EQ(plan.creates.size(), 1u);
  EXPECT_EQ(plan.creates[0].name, PodName(o->job, {0, 1}, "uid-pod-0.0"));
  EXPECT_NE(plan.creates[0].name, PodName(o->job, {0, 1}, "uid-of-another"));
  EXPECT_TRUE(plan.creates[0].name.starts_with("j-0-"));
}

TEST(PlanTest, NeverGivesAnIdTwice) {
  ObservedBuilder o(2);
  o.Trains(0).HadView();
  o->highest_incarnation[1] = 4;
  EXPECT_EQ(Decide(o).creates, (std::vector<MemberId>{{1, 5}}));
  o.FailedBefore({1, 7}, -600);
  EXPECT_EQ(Decide(o).creates, (std::vector<MemberId>{{1, 8}}));
}

TEST(PlanTest, DeletesAnEvictedPodByForceAndReplacesIt) {
  ObservedBuilder o(2);
  o.Trains(0).Runs(1).Evicted("Silent");
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_EQ(ActsOf(plan),
            (Acts{.creates = {{1, 1}}, .deletes = {"pod-1.0"}, .target = Target{2, 1}}));
  EXPECT_TRUE(plan.deletes[0].force);
  EXPECT_EQ(plan.deletes[0].reason, "Silent");
}

TEST(PlanTest, ReplacesAWorkerThatHasLeftWithoutCallingItAFailure) {
  ObservedBuilder o(2);
  o.Trains(0).Runs(1).Exited(0);
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_EQ(ActsOf(plan),
            (Acts{.creates = {{1, 1}}, .deletes = {"pod-1.0"}, .target = Target{2, 1}}));
  EXPECT_THAT(plan.failures, IsEmpty());
}

TEST(PlanTest, WaitsLongerForEachFailureInARow) {
  struct Case {
    int failures;
    int seconds;
  };
  // The newest failure is at 0; those before it are ten seconds apart.
  for (const Case& c :
       {Case{1, 0}, Case{2, 1}, Case{3, 2}, Case{4, 4}, Case{5, 8}, Case{8, 60}, Case{20, 60}}) {
    ObservedBuilder o(1);
    o.HadView();
    for (int i = c.failures - 1; i >= 0; --i) o.FailedBefore({0, c.failures - 1 - i}, -10.0 * i);
    if (c.seconds > 0) {
      const Plan early = MakePlan(*o, At(c.seconds - 0.1));
      EXPECT_THAT(early.creates, IsEmpty()) << c.failures;
      EXPECT_EQ(early.look_again, At(c.seconds)) << c.failures;
    }
    EXPECT_EQ(MakePlan(*o, At(c.seconds)).creates.size(), 1u) << c.failures;
  }
}

TEST(PlanTest, AnOldFailureDoesNotDelayAReplacement) {
  ObservedBuilder o(1);
  o.HadView().FailedBefore({0, 0}, -600).FailedBefore({0, 1}, -300).FailedBefore({0, 2}, 0);
  EXPECT_EQ(MakePlan(*o, At(0)).creates.size(), 1u);
}

TEST(PlanTest, AWaitingReplacementIsNotFilledByAnotherOrdinal) {
  ObservedBuilder o(2);
  o.Trains(0).FailedBefore({1, 0}, -10).FailedBefore({1, 1}, -5).FailedBefore({1, 2}, 0);
  EXPECT_EQ(Decide(o, 0.5), (Acts{.target = Target{2, 1}}));
}

TEST(PlanTest, ScalesUpIntoTheLowestFreeOrdinals) {
  ObservedBuilder o(4);
  o.Trains(0).Trains(2);
  EXPECT_EQ(Decide(o), (Acts{.creates = {{1, 0}, {3, 0}}, .target = Target{4, 1}}));
}

TEST(PlanTest, ScalesDownThroughMembershipAlone) {
  ObservedBuilder o(1);
  o.Trains(0).Trains(1).Trains(2);
  EXPECT_EQ(Decide(o), (Acts{.target = Target{1, 1}}));
}

TEST(PlanTest, DeletesWhatMembershipHasReleasedWhenScalingDown) {
  ObservedBuilder o(1);
  o.Trains(0).Trains(1).Released();
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_EQ(ActsOf(plan), (Acts{.deletes = {"pod-1.0"}, .target = Target{1, 1}}));
  EXPECT_FALSE(plan.deletes[0].force);
}

TEST(PlanTest, DeletesTheHighestOrdinalThatDoesNotTrainWhenScalingDown) {
  ObservedBuilder o(2);
  o.Runs(3).Runs(2).Trains(0).Trains(1);
  EXPECT_EQ(Decide(o), (Acts{.deletes = {"pod-3.0", "pod-2.0"}, .target = Target{2, 1}}));
}

TEST(PlanTest, ReplacesNobodyWhenTheLastStepIsCommitted) {
  ObservedBuilder o(2);
  o.Trains(0).Runs(1).Killed(9);
  o->membership.finishing = true;
  EXPECT_EQ(Decide(o), (Acts{.deletes = {"pod-1.0"}, .target = Target{2, 1}}));
}

TEST(PlanTest, ReplacesAPodThatNeverSaysHello) {
  ObservedBuilder o(2);
  o.Trains(0).Runs(1);
  EXPECT_EQ(Decide(o, 119), (Acts{.target = Target{2, 1}}));
  EXPECT_EQ(MakePlan(*o, At(119)).look_again, At(120));
  EXPECT_EQ(Decide(o, 120),
            (Acts{.creates = {{1, 1}}, .deletes = {"pod-1.0"}, .target = Target{2, 1}}));
  // A new coordinator gives it the same time again.
  o->membership.listening_since = At(100);
  EXPECT_EQ(Decide(o, 120), (Acts{.target = Target{2, 1}}));
}

TEST(PlanTest, ASuspendedJobIsDrainedAndNobodyIsReplaced) {
  ObservedBuilder o(2);
  o.Trains(0).Runs(1).Killed(9);
  o->job.spec.suspend = true;
  EXPECT_EQ(Decide(o), (Acts{.deletes = {"pod-1.0"}, .drain = true}));
}

TEST(PlanTest, MembershipsVerdictEndsTheJob) {
  ObservedBuilder o(2);
  o.Trains(0).Runs(1).Killed(9);
  o->membership.succeeded = true;
  EXPECT_EQ(Decide(o), (Acts{.ended = true}));
  o->membership.succeeded = false;
  o->membership.failed = Verdict{"Invariant", "a slot was added twice"};
  EXPECT_EQ(Decide(o), (Acts{.ended = true}));
}

TEST(PlanTest, TerminalStatesAreFinalAndLeftoversGoAfterAGrace) {
  ObservedBuilder o(2);
  o.Trains(0).Runs(1).Exited(0);
  o->job.status.state = api::JobState::kSucceeded;
  o->job.status.conditions = {{reasons::kSucceeded, "True", "r", "m", At(0)}};
  EXPECT_EQ(Decide(o, 4), (Acts{.ended = true}));
  EXPECT_EQ(Decide(o, 5), (Acts{.deletes = {"pod-0.0"}, .ended = true}));
  // Whatever else is observed.
  o->job.spec.workers.replicas = 8;
  o->membership.failed = Verdict{"Late", "word"};
  EXPECT_EQ(Decide(o, 4), (Acts{.ended = true}));
  EXPECT_EQ(MakePlan(*o, At(4)).state, api::JobState::kSucceeded);
}

TEST(PlanTest, TheDeadlineCountsFromTheStart) {
  ObservedBuilder o(1);
  o.Trains(0);
  o->job.spec.active_deadline_seconds = 10;
  EXPECT_EQ(MakePlan(*o, At(50)).look_again, std::nullopt);
  o->job.status.start_time = At(0);
  EXPECT_EQ(MakePlan(*o, At(9)).look_again, At(10));
  EXPECT_EQ(Decide(o, 9).fail, std::nullopt);
  ASSERT_TRUE(Decide(o, 10).fail);
  EXPECT_EQ(Decide(o, 10).fail->reason, "DeadlineExceeded");
}

TEST(PlanTest, BelowTheMinimumForTooLongFailsTheJob) {
  ObservedBuilder o(4);
  o.Trains(0);
  o->membership.below_min_since = At(0);
  EXPECT_EQ(Decide(o, 1e6).fail, std::nullopt);  // no timeout: it waits
  o->job.spec.elasticity.below_min_timeout = seconds(30);
  EXPECT_EQ(Decide(o, 29).fail, std::nullopt);
  ASSERT_TRUE(Decide(o, 30).fail);
  EXPECT_EQ(Decide(o, 30).fail->reason, "BelowMin");
  EXPECT_THAT(Decide(o, 30).creates, IsEmpty());
  // M8: with the last step committed the minimum no longer matters.
  o->membership.finishing = true;
  EXPECT_EQ(Decide(o, 30).fail, std::nullopt);
}

}  // namespace
}  // namespace muster::job
