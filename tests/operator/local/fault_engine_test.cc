// Which fault fires when: what the cluster reports in, what it shall do out, and nothing else.
#include "operator/local/fault_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

namespace muster::local {
namespace {

using base::Step;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

base::Time At(double s) { return base::Time(base::FromSeconds(s)); }

Fault OnWorker(FaultKind kind, std::int32_t index, std::int64_t step) {
  Fault fault;
  fault.kind = kind;
  fault.index = index;
  fault.trigger.step = Step(step);
  fault.text = "the fault";
  return fault;
}

// What is said to people is checked by one test of its own.
FaultActions Silent(FaultActions actions) {
  std::erase_if(actions, [](const FaultAction& a) { return std::holds_alternative<Announce>(a); });
  return actions;
}

FaultEngine TwoWorkers(std::vector<Fault> faults) {
  FaultEngine engine(std::move(faults), At(0));
  EXPECT_THAT(engine.OnPodStarted(At(0), {0, 0}, "node-0"), IsEmpty());
  EXPECT_THAT(engine.OnPodStarted(At(0), {1, 0}, "node-1"), IsEmpty());
  return engine;
}

TEST(FaultEngineTest, KillsWhenTheStepBeforeIsFirstReported) {
  FaultEngine engine = TwoWorkers({OnWorker(FaultKind::kKill, 1, 40)});
  EXPECT_THAT(engine.OnTraining(At(1), Step(0)), IsEmpty());
  EXPECT_THAT(engine.OnStepCommitted(At(2), Step(38)), IsEmpty());
  EXPECT_THAT(engine.Unfired(), ElementsAre("the fault"));
  EXPECT_EQ(
      engine.OnStepCommitted(At(3), Step(39)),
      (FaultActions{SignalPod{{1, 0}, SIGKILL}, Announce{"the fault", "killed worker-1 (1.0)"}}));
  EXPECT_THAT(engine.OnStepCommitted(At(3), Step(39)), IsEmpty());
  EXPECT_THAT(engine.Unfired(), IsEmpty());
}

TEST(FaultEngineTest, StepOneFiresWhenTheFirstViewTrains) {
  FaultEngine engine = TwoWorkers({OnWorker(FaultKind::kKill, 0, 1)});
  EXPECT_EQ(Silent(engine.OnTraining(At(1), Step(0))), (FaultActions{SignalPod{{0, 0}, SIGKILL}}));
}

TEST(FaultEngineTest, FaultsOfAnEarlierRunAreSkippedAndNotMissed) {
  FaultEngine engine =
      TwoWorkers({OnWorker(FaultKind::kKill, 0, 40), OnWorker(FaultKind::kKill, 1, 51)});
  EXPECT_EQ(Silent(engine.OnTraining(At(1), Step(50))), (FaultActions{SignalPod{{1, 0}, SIGKILL}}));
  EXPECT_THAT(engine.Unfired(), IsEmpty());
}

TEST(FaultEngineTest, ATimeCountsFromTheStart) {
  Fault fault = OnWorker(FaultKind::kTerm, 0, 0);
  fault.trigger = {std::nullopt, seconds(10)};
  FaultEngine engine = TwoWorkers({fault});
  EXPECT_THAT(engine.OnTick(At(9.9)), IsEmpty());
  EXPECT_EQ(Silent(engine.OnTick(At(10))), (FaultActions{SignalPod{{0, 0}, SIGTERM}}));
}

TEST(FaultEngineTest, AStoppedWorkerWakesAfterItsDuration) {
  Fault fault = OnWorker(FaultKind::kStop, 1, 1);
  fault.duration = seconds(5);
  FaultEngine engine = TwoWorkers({fault});
  EXPECT_EQ(Silent(engine.OnTraining(At(1), Step(0))), (FaultActions{SignalPod{{1, 0}, SIGSTOP}}));
  EXPECT_TRUE(engine.WillWake({1, 0}));
  EXPECT_THAT(engine.OnPodStopped(At(1), {1, 0}), IsEmpty());
  EXPECT_THAT(engine.OnTick(At(5.9)), IsEmpty());
  EXPECT_EQ(engine.OnTick(At(6)), (FaultActions{SignalPod{{1, 0}, SIGCONT}}));
  EXPECT_FALSE(engine.WillWake({1, 0}));
}

TEST(FaultEngineTest, WithoutADurationItNeverWakes) {
  FaultEngine engine = TwoWorkers({OnWorker(FaultKind::kStop, 1, 1)});
  engine.OnTraining(At(1), Step(0));
  EXPECT_FALSE(engine.WillWake({1, 0}));
  EXPECT_THAT(engine.OnTick(At(1e6)), IsEmpty());
}

TEST(FaultEngineTest, APhaseIsReachedByTheTargetItself) {
  Fault fault = OnWorker(FaultKind::kKill, 1, 40);
  fault.phase = FaultPhase::kReduce;
  FaultEngine engine = TwoWorkers({fault});
  EXPECT_EQ(engine.OnStepCommitted(At(1), Step(39)),
            (FaultActions{ArmBreak{{1, 0}, FaultPhase::kReduce, Step(40)}}));
  EXPECT_TRUE(engine.WaitsForStop());
  EXPECT_THAT(engine.OnStepCommitted(At(1), Step(40)), IsEmpty());
  EXPECT_THAT(engine.OnPodStopped(At(1), {0, 0}), IsEmpty());  // somebody else's doing
  EXPECT_THAT(engine.Unfired(), ElementsAre("the fault"));
  EXPECT_EQ(engine.OnPodStopped(At(2), {1, 0}),
            (FaultActions{SignalPod{{1, 0}, SIGKILL},
                          Announce{"the fault", "killed worker-1 (1.0) in reduce"}}));
  EXPECT_FALSE(engine.WaitsForStop());
}

TEST(FaultEngineTest, AStopInAPhaseStaysWhereItIsAndATermWakesItUp) {
  Fault stop = OnWorker(FaultKind::kStop, 0, 1);
  stop.phase = FaultPhase::kForward;
  stop.duration = seconds(2);
  Fault term = OnWorker(FaultKind::kTerm, 1, 1);
  term.phase = FaultPhase::kCommit;
  FaultEngine engine = TwoWorkers({stop, term});
  engine.OnTraining(At(0), Step(0));
  EXPECT_EQ(Silent(engine.OnPodStopped(At(1), {0, 0})), (FaultActions{SignalPod{{0, 0}, SIGSTOP}}));
  EXPECT_EQ(engine.OnTick(At(3)), (FaultActions{SignalPod{{0, 0}, SIGCONT}}));
  EXPECT_EQ(Silent(engine.OnPodStopped(At(4), {1, 0})),
            (FaultActions{SignalPod{{1, 0}, SIGTERM}, SignalPod{{1, 0}, SIGCONT}}));
}

TEST(FaultEngineTest, AReplacementIsArmedAgain) {
  Fault fault = OnWorker(FaultKind::kKill, 1, 1);
  fault.phase = FaultPhase::kTransfer;
  FaultEngine engine = TwoWorkers({fault});
  EXPECT_EQ(engine.OnTraining(At(0), Step(0)).size(), 1u);
  EXPECT_THAT(engine.OnPodGone(At(1), {1, 0}), IsEmpty());
  EXPECT_EQ(engine.OnPodStarted(At(2), {1, 1}, "node-1"),
            (FaultActions{ArmBreak{{1, 1}, FaultPhase::kTransfer, Step(1)}}));
  EXPECT_EQ(Silent(engine.OnPodStopped(At(3), {1, 1})), (FaultActions{SignalPod{{1, 1}, SIGKILL}}));
}

TEST(FaultEngineTest, WaitsForATargetThatIsNotThereYet) {
  FaultEngine engine = TwoWorkers({OnWorker(FaultKind::kKill, 4, 1)});
  EXPECT_THAT(engine.OnTraining(At(0), Step(0)), IsEmpty());
  EXPECT_THAT(engine.Unfired(), ElementsAre("the fault"));
  EXPECT_EQ(Silent(engine.OnPodStarted(At(1), {4, 0}, "node-0")),
            (FaultActions{SignalPod{{4, 0}, SIGKILL}}));
}

TEST(FaultEngineTest, TheNewestIncarnationHoldsTheOrdinal) {
  FaultEngine engine = TwoWorkers({OnWorker(FaultKind::kKill, 1, 1)});
  engine.OnPodStarted(At(0), {1, 1}, "node-1");  // 1.0 sleeps, fenced
  EXPECT_EQ(Silent(engine.OnTraining(At(1), Step(0))), (FaultActions{SignalPod{{1, 1}, SIGKILL}}));
}

TEST(FaultEngineTest, ANodeDiesAtOnce) {
  Fault fault = OnWorker(FaultKind::kKill, 1, 1);
  fault.target = TargetKind::kNode;
  FaultEngine engine = TwoWorkers({fault});
  EXPECT_EQ(engine.OnTraining(At(1), Step(0)),
            (FaultActions{KillNode{"node-1"}, Announce{"the fault", "killed node-1 (1.0)"}}));
}

TEST(FaultEngineTest, ABreakpointOfAStruckNodeIsLifted) {
  Fault fault = OnWorker(FaultKind::kStop, 0, 1);
  fault.target = TargetKind::kNode;
  fault.phase = FaultPhase::kForward;
  fault.duration = seconds(1);
  FaultEngine engine({fault}, At(0));
  engine.OnPodStarted(At(0), {0, 0}, "node-0");
  engine.OnPodStarted(At(0), {1, 0}, "node-0");
  EXPECT_EQ(engine.OnTraining(At(0), Step(0)).size(), 2u);
  EXPECT_EQ(Silent(engine.OnPodStopped(At(1), {0, 0})),
            (FaultActions{SignalPod{{0, 0}, SIGSTOP}, SignalPod{{1, 0}, SIGSTOP}}));
  EXPECT_EQ(engine.OnTick(At(2)).size(), 2u);
  // The other reaches its own breakpoint after it woke: nobody waits for that any more.
  EXPECT_EQ(engine.OnPodStopped(At(3), {1, 0}), (FaultActions{SignalPod{{1, 0}, SIGCONT}}));
}

TEST(FaultEngineTest, CoordinatorScaleAndJoinNeedNoPod) {
  Fault coordinator = OnWorker(FaultKind::kKill, 0, 1);
  coordinator.target = TargetKind::kCoordinator;
  Fault scale = OnWorker(FaultKind::kScale, 0, 2);
  scale.target = TargetKind::kJob;
  scale.replicas = 3;
  Fault join = OnWorker(FaultKind::kJoin, 0, 3);
  join.target = TargetKind::kJob;
  FaultEngine engine({coordinator, scale, join}, At(0));
  EXPECT_EQ(Silent(engine.OnTraining(At(0), Step(0))), (FaultActions{KillCoordinator{}}));
  EXPECT_EQ(Silent(engine.OnStepCommitted(At(1), Step(1))), (FaultActions{SetReplicas{3}}));
  EXPECT_EQ(Silent(engine.OnStepCommitted(At(2), Step(2))), (FaultActions{AddReplica{}}));
  EXPECT_THAT(engine.Unfired(), IsEmpty());
}

}  // namespace
}  // namespace muster::local
