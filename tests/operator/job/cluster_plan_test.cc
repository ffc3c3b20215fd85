// What a plan does on a cluster beyond one machine: nodes that are left or lost, pods that are kept
// or stuck, refusals, suspension and the end. Whole observations in, whole plans out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/job/plan.h"
#include "operator/job/rules.h"
#include "tests/operator/job/acts.h"
#include "tests/operator/job/observed_builder.h"

namespace muster::job {
namespace {

using base::MemberId;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// ---- drains

TEST(DrainTest, APodThatIsAskedToGoIsReplacedAtOnce) {
  for (const bool by_notice : {false, true}) {
    ObservedBuilder o(2);
    o.OnCluster().Trains(0).Trains(1);
    if (by_notice) {
      o->pods[1].conditions = {"DisruptionTarget"};
    } else {
      o.Deleted(30);
    }
    const Plan plan = MakePlan(*o, At(0));
    EXPECT_EQ(ActsOf(plan), (Acts{.creates = {{1, 1}}, .target = Target{2, 1}})) << by_notice;
    EXPECT_EQ(plan.creates[0].reason, "Replacement");
    EXPECT_EQ(plan.creates[0].name, PodName(o->job, {1, 1}, "uid-pod-1.0"));
    EXPECT_THAT(plan.failures, IsEmpty());
  }
}

TEST(DrainTest, ACordonedNodeCostsAPodMoreOnlyAtTheMinimum) {
  struct Case {
    std::int32_t replicas, min, spares;
    std::vector<MemberId> creates;
  };
  for (const Case& c :
       {Case{1, 1, 0, {{1, 0}}}, Case{2, 2, 0, {{2, 0}}}, Case{2, 1, 0, {}}, Case{2, 2, 1, {}}}) {
    ObservedBuilder o(c.replicas);
    o->job.spec.workers.min_replicas = c.min;
    o->job.spec.workers.spares = c.spares;
    o.OnCluster();
    for (std::int32_t i = 0; i < c.replicas; ++i) o.Trains(i).OnNode("n" + std::to_string(i));
    for (std::int32_t i = 0; i < c.spares; ++i) o.Runs(c.replicas + i);
    o->nodes["n0"].cordoned = true;
    const Plan plan = MakePlan(*o, At(0));
    EXPECT_EQ(ActsOf(plan), (Acts{.creates = c.creates, .target = Target{c.replicas, c.min}}))
        << c.replicas << c.min << c.spares;
    if (c.creates.empty()) continue;
    EXPECT_EQ(plan.creates[0].reason, "Surge");
    EXPECT_THAT(plan.creates[0].message, HasSubstr("node n0 is cordoned"));
  }
}

TEST(DrainTest, TheWholeDrainOfTheOnlyPod) {
  ObservedBuilder o(1);
  o.OnCluster().Trains(0).OnNode("n0");
  o->nodes["n0"].cordoned = true;
  // The replacement is there and warm: nothing more is wanted, and nothing is taken away.
  o.Runs(1).OnNode("n1");
  o->membership.members.push_back({{1, 0}, false, false, false});
  EXPECT_EQ(Decide(o), (Acts{.target = Target{1, 1}}));
  // Both are healthy, so the budget lets the eviction pass.
  o->pods[0].deleting = true;
  o->pods[0].deletion_time = At(30);
  EXPECT_EQ(Decide(o), (Acts{.target = Target{1, 1}}));
  // It has left in order; its pod goes, and the other one is the job.
  o->pods[0].phase = PodPhase::kSucceeded;
  o->pods[0].exit_code = 0;
  EXPECT_EQ(Decide(o), (Acts{.target = Target{1, 1}}));
  o->pods.erase(o->pods.begin());
  o->membership.members = {{{1, 0}, true, false, false}};
  EXPECT_EQ(Decide(o), (Acts{.target = Target{1, 1}}));
}

TEST(DrainTest, AnUncordonedNodeTakesTheSurgeBack) {
  ObservedBuilder o(1);
  o.OnCluster().Trains(0).OnNode("n0").Runs(1).OnNode("n1");
  o->membership.members.push_back({{1, 0}, false, false, false});
  EXPECT_EQ(Decide(o), (Acts{.deletes = {"pod-1.0"}, .target = Target{1, 1}}));
}

TEST(DrainTest, ALossAtTheMinimumOfACordonedNodeIsReplacedAndNotOnlySurged) {
  ObservedBuilder o(2);
  o->job.spec.workers.min_replicas = 2;
  o.OnCluster().Trains(0).OnNode("n0").Runs(1).OnNode("n1").Killed(9);
  o->nodes["n0"].cordoned = true;
  EXPECT_EQ(Decide(o).creates, (std::vector<MemberId>{{1, 1}, {2, 0}}));
}

TEST(DrainTest, BrokenHardwareIsLeftInOrderAndNeverBelowTheMinimum) {
  ObservedBuilder o(3);
  o->job.spec.workers.min_replicas = 2;
  o.OnCluster().Trains(0).OnNode("n0").Trains(1).OnNode("n1").Trains(2).OnNode("n0");
  o->nodes["n0"].fault = "the taint nvidia.com/gpu-fault";
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_EQ(ActsOf(plan), (Acts{.deletes = {"pod-0.0"}, .target = Target{3, 2}}));
  EXPECT_FALSE(plan.deletes[0].force);
  EXPECT_EQ(plan.deletes[0].reason, "NodeFaulty");
  EXPECT_THAT(plan.deletes[0].message, HasSubstr("nvidia.com/gpu-fault"));
  // While it goes and its replacement is not ready, the next one stays.
  o->pods[0].deleting = true;
  EXPECT_THAT(Decide(o).deletes, IsEmpty());
  o.Runs(0, 1).OnNode("n2");
  EXPECT_THAT(Decide(o).deletes, ElementsAre("pod-2.0"));
}

// ---- capacity that comes back

TEST(GrowBackTest, WhatFindsNoRoomStaysWantedAndJoinsWhenThereIsSome) {
  ObservedBuilder o(3);
  o.OnCluster().Trains(0).Waits(1, 4).Waits(2, 2);
  o->pods[1].unschedulable = o->pods[2].unschedulable = "0/1 nodes are available";
  // However long it takes, nothing is created beside them and nobody gives up.
  for (const double now : {0.0, 1e5}) {
    EXPECT_EQ(Decide(o, now), (Acts{.target = Target{3, 1}})) << now;
  }
  o->pods[1].unschedulable.clear();
  o->pods[1].phase = PodPhase::kRunning;
  o->pods[1].start_time = At(1e5);
  EXPECT_EQ(Decide(o, 1e5 + 1), (Acts{.target = Target{3, 1}}));
}

// ---- lost nodes

TEST(LostPodTest, WhatWasToStartOnALostNodeStartsElsewhere) {
  for (const bool gone : {false, true}) {
    ObservedBuilder o(2);
    o.OnCluster().Trains(0).Waits(1).OnNode("n1");
    o->nodes["n1"].ready = gone;
    o->nodes["n1"].gone = gone;
    const Plan plan = MakePlan(*o, At(0));
    EXPECT_EQ(ActsOf(plan),
              (Acts{.creates = {{1, 1}}, .deletes = {"pod-1.0"}, .target = Target{2, 1}}));
    EXPECT_TRUE(plan.deletes[0].force);
    ASSERT_EQ(plan.failures.size(), 1u);
    EXPECT_EQ(plan.failures[0].reason, "NodeLost");
    EXPECT_FALSE(plan.failures[0].charged);
    EXPECT_THAT(plan.creates[0].avoid_nodes, ElementsAre("n1"));
  }
}

TEST(LostPodTest, AnEvictedOneIsReplacedAtOnceAndDeletedWhenItsKubeletHadTimeToSpeak) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Runs(1).OnNode("n1").EvictedAt("HeartbeatTimeout", 10);
  const Plan early = MakePlan(*o, At(10));
  EXPECT_EQ(ActsOf(early), (Acts{.creates = {{1, 1}}, .target = Target{2, 1}}));
  EXPECT_THAT(early.failures, IsEmpty());
  EXPECT_EQ(early.look_again, At(15));
  EXPECT_THAT(early.creates[0].avoid_nodes, ElementsAre("n1"));
  const Plan later = MakePlan(*o, At(15));
  EXPECT_THAT(ActsOf(later).deletes, ElementsAre("pod-1.0"));
  EXPECT_TRUE(later.deletes[0].force);
  ASSERT_EQ(later.failures.size(), 1u);
  EXPECT_TRUE(later.failures[0].charged);
  // A node that is known to be lost has no kubelet that could say more.
  o->nodes["n1"].ready = false;
  const Plan lost = MakePlan(*o, At(10));
  EXPECT_THAT(ActsOf(lost).deletes, ElementsAre("pod-1.0"));
  EXPECT_FALSE(lost.failures.at(0).charged);
}

TEST(LostPodTest, TheExitCodeThatComesAfterTheEvictionIsJudged) {
  ObservedBuilder o(2);
  o->job.spec.failure_policy.rules = {{api::FailureAction::kFailJob, {137}, ""}};
  o.OnCluster().Trains(0).Runs(1).OnNode("n1").EvictedAt("WorkerKilled", 10);
  EXPECT_EQ(MakePlan(*o, At(10)).fail_job, std::nullopt);
  o.Killed(9, 11).Waits(1, 1);
  const Plan plan = MakePlan(*o, At(11));
  ASSERT_TRUE(plan.fail_job);
  EXPECT_EQ(plan.fail_job->reason, "FailurePolicy");
}

TEST(LostPodTest, WhatSomebodyDeletedByForceIsReplacedAndNotCalledGrowth) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Runs(1).Evicted("WorkerKilled");
  o->pods.pop_back();
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_EQ(ActsOf(plan), (Acts{.creates = {{1, 1}}, .target = Target{2, 1}}));
  EXPECT_EQ(plan.creates[0].reason, "Replacement");
  EXPECT_THAT(plan.creates[0].message, HasSubstr("worker 1.0 was evicted"));
}

TEST(LostPodTest, VolumesThatAttachToOneNodeGetTheirGrace) {
  ObservedBuilder o(2);
  o->job.spec.elasticity.lost_pod_grace_period = seconds(60);
  o.OnCluster().Trains(0).Runs(1).OnNode("n1").EvictedAt("HeartbeatTimeout", 0);
  o->nodes["n1"].ready = false;
  const Plan first = MakePlan(*o, At(0));
  EXPECT_EQ(ActsOf(first), (Acts{.creates = {{1, 1}}, .target = Target{2, 1}}));
  o->job.status.failures = first.failures;
  o.Waits(1, 1);
  EXPECT_THAT(Decide(o, 59).deletes, IsEmpty());
  EXPECT_EQ(MakePlan(*o, At(59)).look_again, At(60));
  EXPECT_THAT(Decide(o, 60).deletes, ElementsAre("pod-1.0"));
}

TEST(LostPodTest, AStuckTerminationOnALostNodeIsEndedByForce) {
  ObservedBuilder o(1);
  o.OnCluster().HadView().Runs(0).OnNode("n0").Deleted(30).Waits(0, 1);
  EXPECT_THAT(Decide(o, 100).deletes, IsEmpty()) << "a kubelet that lives ends it";
  o->nodes["n0"].ready = false;
  EXPECT_THAT(Decide(o, 39).deletes, IsEmpty());
  EXPECT_EQ(MakePlan(*o, At(39)).look_again, At(40));
  const Plan plan = MakePlan(*o, At(40));
  EXPECT_THAT(ActsOf(plan).deletes, ElementsAre("pod-0.0"));
  EXPECT_TRUE(plan.deletes[0].force);
  EXPECT_EQ(plan.deletes[0].reason, "NotTerminated");
  // Not while membership counts on it.
  o->membership.members.push_back({{0, 0}, true, false, false});
  EXPECT_THAT(Decide(o, 40).deletes, IsEmpty());
}

TEST(LostPodTest, TheNewestFailedPodsStayForTheirLogs) {
  ObservedBuilder o(1);
  o.OnCluster().HadView();
  for (int i = 0; i < 5; ++i) o.Runs(0, i).Exited(70, 200.0 * i);
  o.Runs(0, 5).Exited(0, 1000);
  o.Runs(0, 6).Killed(9, 1001);
  o->pods.back().infrastructure_loss = true;
  o.Trains(0, 7);
  EXPECT_EQ(Decide(o, 1100), (Acts{.deletes = {"pod-0.0", "pod-0.1", "pod-0.5", "pod-0.6"},
                                   .target = Target{1, 1}}));
}

TEST(LostPodTest, WhatStaysForItsLogIsJudgedOnce) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Runs(1).Exited(70, 0);
  const Plan first = MakePlan(*o, At(0));
  EXPECT_THAT(first.deletes, IsEmpty());
  o->job.status.failures = first.failures;
  o.Trains(1, 1);
  o->job.spec.failure_policy.rules = {{api::FailureAction::kFailJob, {70}, ""}};
  EXPECT_EQ(Decide(o, 10), (Acts{.target = Target{2, 1}}));
  // Without a successor it is the evidence of a verdict that nobody lived to speak.
  o->pods.pop_back();
  o->membership.members.pop_back();
  EXPECT_TRUE(Decide(o, 10).fail);
}

TEST(LostPodTest, WhatTheCoordinatorBeforeHadFencedIsNotAWorkerOfThisOne) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Runs(1).Trains(1, 1).FailedBefore({1, 0}, 0);
  EXPECT_EQ(Decide(o), (Acts{.deletes = {"pod-1.0"}, .target = Target{2, 1}}));
  EXPECT_THAT(MakePlan(*o, At(0)).failures, IsEmpty());
}

// The operator was killed between the status that tells of the loss and what was to be done about it,
// and the record's view is one without the member.
TEST(LostPodTest, ALossThatWasWrittenDownIsActedUponByTheNextCoordinator) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Runs(1).FailedBefore({1, 0}, 0);
  const Plan plan = MakePlan(*o, At(1));
  EXPECT_THAT(ActsOf(plan).deletes, ElementsAre("pod-1.0"));
  EXPECT_EQ(plan.creates.size(), 1u);
  EXPECT_THAT(plan.failures, IsEmpty());
}

// The operator was killed between the replacement and the status that tells why.
TEST(LostPodTest, ALossThatTheCoordinatorBeforeDidNotWriteDownIsNotForgotten) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Runs(1).OnNode("n1").Trains(1, 1);
  EXPECT_EQ(Decide(o), (Acts{.target = Target{2, 1}})) << "its kubelet may still tell";
  EXPECT_EQ(MakePlan(*o, At(0)).look_again, At(5));
  const Plan later = MakePlan(*o, At(5));
  EXPECT_THAT(ActsOf(later).deletes, ElementsAre("pod-1.0"));
  ASSERT_EQ(later.failures.size(), 1);
  EXPECT_EQ(later.failures[0].member, (MemberId{1, 0}));
  EXPECT_TRUE(later.failures[0].charged);
  o->nodes["n1"].ready = false;
  const Plan dark = MakePlan(*o, At(0));
  EXPECT_THAT(ActsOf(dark).deletes, ElementsAre("pod-1.0")) << "nobody will tell";
  ASSERT_EQ(dark.failures.size(), 1);
  EXPECT_FALSE(dark.failures[0].charged);
}

// The operator was killed between the replacement and the view without the one that it replaces.
TEST(LostPodTest, ASuccessorTakesNoReplacementForOneTooManyBeforeItKnowsWhoLives) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Trains(1).Waits(1, 1);
  o->membership.size = 0;
  EXPECT_EQ(Decide(o), (Acts{.target = Target{2, 1}}));
  // The member has come back: it was no loss.
  o->membership.size = 2;
  EXPECT_EQ(Decide(o), (Acts{.deletes = {"pod-1.1"}, .target = Target{2, 1}}));
}

TEST(LostPodTest, WhoWasLeavingWhenItsCoordinatorDiedHasLeft) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Runs(1).Deleted(30).Exited(71).Trains(1, 1);
  EXPECT_THAT(MakePlan(*o, At(0)).failures, IsEmpty());
  // By the eviction API, which leaves its mark on the pod.
  o->pods[1].conditions = {"DisruptionTarget"};
  o->pods[1].infrastructure_loss = true;
  EXPECT_THAT(MakePlan(*o, At(0)).failures, IsEmpty());
  ObservedBuilder evicted(2);
  evicted.OnCluster().Trains(0).Runs(1).Exited(71).Trains(1, 1);
  EXPECT_EQ(MakePlan(*evicted, At(0)).failures.size(), 1) << "nobody had asked it to go";
}

TEST(IncarnationTest, AnUnseenOrdinalBeginsAboveWhatEarlierCoordinatorsMayHaveUsed) {
  ObservedBuilder o(3);
  o.OnCluster().Trains(0, 2).HadView();
  o->first_incarnation = 6;
  o->highest_incarnation = {{1, 3}};
  EXPECT_EQ(Decide(o).creates, (std::vector<MemberId>{{1, 4}, {2, 6}}));
}

// ---- where new pods should not go

TEST(AvoidNodesTest, NodesOfRepeatedLossesWithinTheWindow) {
  ObservedBuilder o(2);
  o->job.spec.elasticity.avoid_nodes = {2, seconds(100)};
  o.OnCluster().HadView();
  const auto lost = [&](MemberId id, const char* node, double at, const char* reason) {
    o->job.status.failures.push_back({At(at), id, node, reason, -1, true});
  };
  lost({0, 0}, "twice", -10, "Killed");
  lost({0, 1}, "twice", -50, "Killed");
  lost({1, 0}, "long-ago", -10, "Killed");
  lost({1, 1}, "long-ago", -101, "Killed");
  lost({1, 2}, "silent", -119, "HeartbeatTimeout");
  lost({1, 3}, "silent-before", -121, "HeartbeatTimeout");
  lost({1, 4}, "", -1, "HeartbeatTimeout");
  const Plan plan = MakePlan(*o, At(1));
  ASSERT_FALSE(plan.creates.empty());
  EXPECT_THAT(plan.creates[0].avoid_nodes, ElementsAre("silent", "twice"));
  // One machine has no choice.
  o->on_cluster = false;
  EXPECT_THAT(MakePlan(*o, At(100)).creates.at(0).avoid_nodes, IsEmpty());
}

}  // namespace
}  // namespace muster::job
