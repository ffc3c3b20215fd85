// The one-machine cluster with real processes; the coordinator is a stand-in that does as it is
// told.
#include "operator/local/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "operator/api/conditions.h"
#include "tests/operator/local/scratch.h"

namespace muster::local {
namespace {

using testing::HasSubstr;

class ClusterTest : public testing::Test {
 protected:
  ClusterOptions Options() {
    ClusterOptions options;
    options.job.name = "j";
    options.job.spec.workers.replicas = 2;
    options.job.spec.workers.max_replicas = 3;
    options.job.spec.training.steps = 5;
    options.job.spec.training.slots = 8;
    options.state_dir = scratch_.path() + "/state";
    options.programs.muster = MUSTER_BINARY_DIR "/tests/operator_local_stand_in";
    options.programs.muster_worker = Script("worker", "exec sleep 60");
    options.on_event = [this](const LocalEvent& event) { OnEvent(event); };
    return options;
  }

  std::string Script(const std::string& name, const std::string& body) {
    const std::string path = scratch_.path() + "/" + name;
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }

  void OnEvent(const LocalEvent& event) {
    events_.push_back(event);
    if (cluster_ == nullptr || !react_) return;
    react_(event);
  }

  absl::StatusOr<Outcome> Run(ClusterOptions options) {
    auto cluster = LocalCluster::Create(std::move(options));
    if (!cluster.ok()) return cluster.status();
    cluster_ = cluster->get();
    auto outcome = (*cluster)->Run();
    cluster_ = nullptr;
    return outcome;
  }

  template <typename T>
  std::vector<T> All() const {
    std::vector<T> out;
    for (const LocalEvent& event : events_) {
      if (const T* wanted = std::get_if<T>(&event)) out.push_back(*wanted);
    }
    return out;
  }

  Scratch scratch_;
  LocalCluster* cluster_ = nullptr;
  std::function<void(const LocalEvent&)> react_;
  std::vector<LocalEvent> events_;
};

Fault Parse(FaultKind kind, TargetKind target, std::int64_t step) {
  Fault fault;
  fault.kind = kind;
  fault.target = target;
  fault.trigger.step = base::Step(step);
  fault.text = "fault";
  return fault;
}

TEST_F(ClusterTest, RefusesWhatOneMachineCannotDo) {
  const auto refusal = [&](auto change) {
    ClusterOptions options = Options();
    change(options);
    return base::Message(LocalCluster::Create(std::move(options)).status());
  };
  EXPECT_THAT(refusal([](auto& o) {
                o.job.spec.workers.processes_per_worker = 2;
                o.faults = {Parse(FaultKind::kKill, TargetKind::kWorker, 1)};
                o.faults[0].phase = FaultPhase::kReduce;
              }),
              HasSubstr("needs processesPerWorker 1; it is 2"));
  EXPECT_THAT(refusal([](auto& o) { o.nodes = 0; }), HasSubstr("--nodes 0"));
  EXPECT_THAT(refusal([](auto& o) { o.programs.muster_worker = "/absent/worker"; }),
              HasSubstr("cannot run /absent/worker"));
  EXPECT_THAT(
      refusal([](auto& o) { o.faults = {Parse(FaultKind::kStop, TargetKind::kCoordinator, 1)}; }),
      HasSubstr("can only be killed"));
  EXPECT_THAT(refusal([](auto& o) {
                Fault node = Parse(FaultKind::kKill, TargetKind::kNode, 1);
                node.index = 1;
                o.faults = {node};
              }),
              HasSubstr("there is no node-1"));
  EXPECT_THAT(refusal([](auto& o) {
                o.faults = {Parse(FaultKind::kJoin, TargetKind::kJob, 1),
                            Parse(FaultKind::kJoin, TargetKind::kJob, 2)};
              }),
              HasSubstr("maxReplicas is 3"));
  EXPECT_THAT(refusal([](auto& o) { o.faults = {Fault()}; }), HasSubstr("needs either"));
}

TEST_F(ClusterTest, RunsToSuccessAndLeavesNoProcess) {
  auto outcome = Run(Options());
  ASSERT_TRUE(outcome.ok()) << base::Message(outcome.status());
  EXPECT_EQ(outcome->ending, Ending::kSucceeded);
  ASSERT_EQ(All<PodStarted>().size(), 2u);
  EXPECT_EQ(All<StepCommitted>().size(), 5u);
  for (const PodStarted& pod : All<PodStarted>())
    EXPECT_NE(kill(static_cast<pid_t>(pod.pid), 0), 0);
  // The same directory again: nothing is left to do.
  auto again = Run(Options());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->ending, Ending::kSucceeded);
  EXPECT_EQ(All<PodStarted>().size(), 2u);
}

TEST_F(ClusterTest, AKilledPodIsToldToTheCoordinator) {
  ClusterOptions options = Options();
  Fault fault = Parse(FaultKind::kKill, TargetKind::kWorker, 3);
  fault.index = 1;
  options.faults = {fault};
  auto outcome = Run(std::move(options));
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->ending, Ending::kSucceeded);
  ASSERT_EQ(All<FaultFired>().size(), 1u);
  ASSERT_FALSE(All<PodExited>().empty());
  EXPECT_EQ(All<PodExited>()[0].member, (base::MemberId{1, 0}));
  EXPECT_EQ(All<PodExited>()[0].signal, SIGKILL);
  EXPECT_TRUE(outcome->unfired_faults.empty());
  // The stand-in notes when it heard of it.
  bool heard = false;
  for (const Note& note : All<Note>()) heard = heard || note.text.starts_with("pod 1.0 failed");
  EXPECT_TRUE(heard);
}

TEST_F(ClusterTest, ANodeIsAGroupThatDiesTogetherAndIsNotTheJobsFault) {
  ClusterOptions options = Options();
  options.nodes = 2;
  options.faults = {Parse(FaultKind::kKill, TargetKind::kNode, 2)};
  options.faults[0].index = 1;
  ASSERT_TRUE(Run(std::move(options)).ok());
  bool heard = false;
  for (const Note& note : All<Note>())
    heard = heard || note.text == "pod 1.0 failed, infrastructure";
  EXPECT_TRUE(heard);
}

TEST_F(ClusterTest, ADeadCoordinatorIsRestartedAndSeesEverythingAgain) {
  ClusterOptions options = Options();
  // A stand-in that had taken its last step before the signal came has no reason to come back.
  options.job.spec.training.steps = 100;
  options.faults = {Parse(FaultKind::kKill, TargetKind::kCoordinator, 3)};
  auto outcome = Run(std::move(options));
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->ending, Ending::kSucceeded);
  ASSERT_EQ(All<CoordinatorRestarted>().size(), 1u);
  EXPECT_EQ(All<CoordinatorRestarted>()[0].cause, "killed by signal 9");
  EXPECT_EQ(All<PodStarted>().size(), 2u);  // none was started twice
}

TEST_F(ClusterTest, AStepThatNeverComesLeavesItsFaultUnfired) {
  ClusterOptions options = Options();
  options.faults = {Parse(FaultKind::kKill, TargetKind::kWorker, 50)};
  auto outcome = Run(std::move(options));
  ASSERT_TRUE(outcome.ok());
  EXPECT_THAT(outcome->unfired_faults, testing::ElementsAre("fault"));
}

TEST_F(ClusterTest, DrainSuspendsTheJob) {
  ClusterOptions options = Options();
  options.job.spec.training.steps = 1000000;
  react_ = [this](const LocalEvent& event) {
    if (std::holds_alternative<StepCommitted>(event)) cluster_->Drain();
  };
  auto outcome = Run(std::move(options));
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->ending, Ending::kDrained);
}

TEST_F(ClusterTest, EndNowEndsAtOnce) {
  ClusterOptions options = Options();
  options.job.spec.training.steps = 1000000;
  react_ = [this](const LocalEvent& event) {
    if (std::holds_alternative<StepCommitted>(event)) cluster_->EndNow();
  };
  const auto begin = std::chrono::steady_clock::now();
  auto outcome = Run(std::move(options));
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->ending, Ending::kEnded);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  for (const PodStarted& pod : All<PodStarted>())
    EXPECT_NE(kill(static_cast<pid_t>(pod.pid), 0), 0);
}

TEST_F(ClusterTest, ACoordinatorThatOnlyDiesFailsTheJobWithItsLastLines) {
  ClusterOptions options = Options();
  options.programs.muster = Script("muster", "echo I cannot >&2; exit 3");
  auto outcome = Run(std::move(options));
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->ending, Ending::kFailed);
  const api::Condition* failed = api::FindCondition(outcome->status.conditions, "Failed");
  ASSERT_NE(failed, nullptr);
  EXPECT_EQ(failed->reason, "CoordinatorCrashes");
  EXPECT_THAT(failed->message, HasSubstr("exited with code 3"));
  EXPECT_THAT(failed->message, HasSubstr("I cannot"));
}

}  // namespace
}  // namespace muster::local
