// Plans of pods with several processes. On one machine, because a cluster's admission refuses them until
// all of it is built; the rules are the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/job/by_pods.h"
#include "operator/job/rules.h"
#include "tests/operator/job/acts.h"
#include "tests/operator/job/observed_builder.h"

namespace muster::job {
namespace {

using base::MemberId;
using testing::ElementsAre;
using testing::IsEmpty;

// Two pods that train with two processes each.
ObservedBuilder TwoPods() {
  ObservedBuilder o(2);
  o->job.spec.workers.processes_per_worker = 2;
  o.Trains(0).Trains(1);
  o->membership.size = 4;
  return o;
}

void Lose(ObservedBuilder& o, MemberId member, double at) {
  o->membership.lost_processes[member] = {{"WorkerKilled", "killed"}, At(at)};
}

TEST(ProcessesTest, MembersAreCountedAndPodsAreMade) {
  ObservedBuilder o(3);
  o->job.spec.workers.processes_per_worker = 2;
  o->job.spec.workers.min_replicas = 2;
  const Acts acts = Decide(o);
  EXPECT_EQ(acts.creates, (std::vector<MemberId>{{0, 0}, {1, 0}, {2, 0}}));
  EXPECT_EQ(acts.target, (Target{6, 4}));
}

TEST(ProcessesTest, ADeadProcessIsALossAndNoPodIsMadeForIt) {
  ObservedBuilder o = TwoPods();
  Lose(o, {3, 0}, 10);
  Plan plan = MakePlan(*o, At(14));
  EXPECT_THAT(plan.failures, IsEmpty()) << "its pod may be going as well";
  EXPECT_EQ(plan.look_again, At(15));
  plan = MakePlan(*o, At(15));
  ASSERT_EQ(plan.failures.size(), 1u);
  EXPECT_EQ(plan.failures[0],
            (api::FailureEntry{At(10), {3, 0}, "node-0", "WorkerKilled", -1, true}));
  EXPECT_THAT(plan.creates, IsEmpty());
  EXPECT_THAT(plan.deletes, IsEmpty());
  o->job.status.failures = plan.failures;
  EXPECT_THAT(MakePlan(*o, At(20)).failures, IsEmpty()) << "written once";
}

TEST(ProcessesTest, DeadProcessesCountForMaxReplacements) {
  ObservedBuilder o = TwoPods();
  o->job.spec.failure_policy.max_replacements = 1;
  Lose(o, {3, 0}, 10);
  EXPECT_EQ(MakePlan(*o, At(15)).fail_job, std::nullopt);
  Lose(o, {3, 1}, 11);
  const Plan plan = MakePlan(*o, At(16));
  ASSERT_TRUE(plan.fail_job);
  EXPECT_EQ(plan.fail_job->reason, "TooManyReplacements");
}

TEST(ProcessesTest, ALostPodIsOneLossWhateverItsProcessesWere) {
  ObservedBuilder o = TwoPods();
  o->pods.pop_back();
  o->membership.members.pop_back();
  o.Runs(1).Killed(9, 10);
  Lose(o, {2, 0}, 10);
  const Plan plan = MakePlan(*o, At(30));
  ASSERT_EQ(plan.failures.size(), 1u);
  EXPECT_EQ(plan.failures[0].member, (MemberId{2, 999})) << "no process has this id";
  ASSERT_EQ(plan.creates.size(), 1u);
  EXPECT_EQ(plan.creates[0].member, (MemberId{1, 1}));
}

TEST(ProcessesTest, IdsOfPodsAreNotUsedAgainWhateverTheFailuresName) {
  ObservedBuilder o = TwoPods();
  o->pods.pop_back();
  o->membership.members.pop_back();
  // Pod 1.4 was lost, and a process of pod 1.6 before it.
  o->job.status.failures = {{At(-900), {2, 4999}, "n", "Killed", -1, true},
                            {At(-800), {3, 6002}, "n", "WorkerKilled", -1, true}};
  EXPECT_EQ(Decide(o).creates, (std::vector<MemberId>{{1, 7}}));
}

TEST(ProcessesTest, ThePodsFailuresAreAStreakOfItsOwnOrdinal) {
  ObservedBuilder o = TwoPods();
  o->pods.pop_back();
  o->membership.members.pop_back();
  // Ordinal 2 of a member is pod 1; ordinal 1 of a member is pod 0.
  o->job.status.failures = {{At(-2), {2, 999}, "n", "Killed", -1, true},
                            {At(-1), {2, 1999}, "n", "Killed", -1, true}};
  EXPECT_THAT(Decide(o, -0.5).creates, IsEmpty()) << "one second after the second in a row";
  EXPECT_EQ(Decide(o, 0).creates, (std::vector<MemberId>{{1, 2}}));
  for (api::FailureEntry& failure : o->job.status.failures) failure.member.ordinal = 1;
  EXPECT_EQ(Decide(o, -0.5).creates, (std::vector<MemberId>{{1, 0}}));
}

}  // namespace
}  // namespace muster::job
