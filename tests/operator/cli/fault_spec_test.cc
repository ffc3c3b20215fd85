// What a person may do to their run, and a sentence for everything else.
#include "operator/cli/fault_spec.h"

#include <gtest/gtest.h>

namespace muster::cli {
namespace {

using local::Fault;
using local::FaultKind;
using local::FaultPhase;
using local::TargetKind;

TEST(FaultSpecTest, ReadsGoodOnes) {
  const auto step = [](int n) { return local::Trigger{base::Step(n), std::nullopt}; };
  const local::Trigger ten{std::nullopt, std::chrono::seconds(10)};
  const std::pair<const char*, Fault> cases[] = {
      {"worker-2@step=40",
       {FaultKind::kKill, TargetKind::kWorker, 2, step(40), {}, {}, 0, "--kill worker-2@step=40"}},
      {"node-1@time=10s",
       {FaultKind::kKill, TargetKind::kNode, 1, ten, {}, {}, 0, "--kill node-1@time=10s"}},
      {"coordinator@step=1",
       {FaultKind::kKill,
        TargetKind::kCoordinator,
        0,
        step(1),
        {},
        {},
        0,
        "--kill coordinator@step=1"}},
      {"worker-0@step=3:in=reduce",
       {FaultKind::kKill,
        TargetKind::kWorker,
        0,
        step(3),
        FaultPhase::kReduce,
        {},
        0,
        "--kill worker-0@step=3:in=reduce"}},
  };
  for (const auto& [text, fault] : cases) {
    const absl::StatusOr<Fault> parsed = ParseFault(FaultKind::kKill, text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, fault) << text;
  }
}

TEST(FaultSpecTest, ReadsStopsJoinsAndScales) {
  const auto stop = ParseFault(FaultKind::kStop, "worker-1@step=80:in=forward:for=5s");
  ASSERT_TRUE(stop.ok());
  EXPECT_EQ(stop->duration, std::chrono::seconds(5));
  EXPECT_EQ(stop->phase, FaultPhase::kForward);
  const auto join = ParseFault(FaultKind::kJoin, "@step=100");
  ASSERT_TRUE(join.ok());
  EXPECT_EQ(join->target, TargetKind::kJob);
  EXPECT_EQ(join->trigger.step, base::Step(100));
  const auto scale = ParseFault(FaultKind::kScale, "3@time=1m");
  ASSERT_TRUE(scale.ok());
  EXPECT_EQ(scale->replicas, 3);
  EXPECT_EQ(scale->trigger.time, std::chrono::minutes(1));
}

TEST(FaultSpecTest, EveryBadOneGetsASentence) {
  const std::tuple<FaultKind, const char*, const char*> cases[] = {
      {FaultKind::kKill, "worker-2",
       "--kill worker-2: when is missing: worker-2@step=40 or worker-2@time=10s"},
      {FaultKind::kJoin, "", "--join : when is missing: @step=N"},
      {FaultKind::kScale, "3", "--scale 3: when is missing: 3@step=N"},
      {FaultKind::kKill, "worker@step=1",
       "--kill worker@step=1: \"worker\" is no target: worker-K, node-K or coordinator"},
      {FaultKind::kStop, "worker--1@step=1",
       "--stop worker--1@step=1: \"worker--1\" is no target: worker-K, node-K"},
      {FaultKind::kTerm, "worker-99999@step=1",
       "--term worker-99999@step=1: \"worker-99999\" is no target: worker-K, node-K"},
      {FaultKind::kStop, "coordinator@step=1",
       "--stop coordinator@step=1: the coordinator can only be killed: use --kill"},
      {FaultKind::kKill, "worker-1@step=0",
       "--kill worker-1@step=0: \"0\" is no step: an integer from 1 to 1000000000"},
      {FaultKind::kKill, "worker-1@step=1x",
       "--kill worker-1@step=1x: \"1x\" is no step: an integer from 1 to 1000000000"},
      {FaultKind::kKill, "worker-1@time=10",
       "--kill worker-1@time=10: \"10\" is not a duration such as 500ms, 1s or 1h30m"},
      {FaultKind::kKill, "worker-1@40",
       "--kill worker-1@40: \"40\" says no time: @step=N or @time=10s"},
      {FaultKind::kKill, "worker-1@step=1:in=sleep",
       "--kill worker-1@step=1:in=sleep: \"sleep\" is no phase: forward, overlap, reduce, "
       "commit, checkpoint, rebuild or transfer"},
      {FaultKind::kKill, "coordinator@step=1:in=reduce",
       "--kill coordinator@step=1:in=reduce: :in= is for faults of workers and nodes"},
      {FaultKind::kKill, "worker-1@step=1:for=5s",
       "--kill worker-1@step=1:for=5s: :for= is for --stop alone"},
      {FaultKind::kStop, "worker-1@step=1:for=0s",
       "--stop worker-1@step=1:for=0s: :for= needs a time above 0"},
      {FaultKind::kStop, "worker-1@step=1:for=5s:for=6s",
       "--stop worker-1@step=1:for=5s:for=6s: :for= is given twice"},
      {FaultKind::kStop, "worker-1@step=1:in=reduce:in=commit",
       "--stop worker-1@step=1:in=reduce:in=commit: :in= is given twice"},
      {FaultKind::kKill, "worker-1@step=1:",
       "--kill worker-1@step=1:: \"\" is not known: :in=PHASE, and with --stop :for=5s"},
      {FaultKind::kJoin, "2@step=1",
       "--join 2@step=1: \"2\" is too much: --join adds one worker, write @step=N"},
      {FaultKind::kScale, "0@step=1",
       "--scale 0@step=1: \"0\" is not allowed: a number of replicas from 1 to 10000"},
      {FaultKind::kScale, "2@step=1:in=reduce",
       "--scale 2@step=1:in=reduce: :in= is for faults of workers and nodes"},
  };
  for (const auto& [kind, text, sentence] : cases) {
    const absl::StatusOr<Fault> fault = ParseFault(kind, text);
    ASSERT_FALSE(fault.ok()) << text;
    EXPECT_EQ(base::Message(fault.status()), sentence);
  }
}

TEST(FaultSpecTest, RefusesWhatCanNeverHappenInThisJob) {
  api::TrainingJob job;
  job.spec.workers = {4, 1, 5, 0, 1, "{}"};
  job.spec.training.steps = 100;
  const auto check = [&](FaultKind kind, std::vector<const char*> texts) {
    std::vector<Fault> faults;
    for (const char* text : texts) faults.push_back(*ParseFault(kind, text));
    return base::Message(CheckFaults(faults, job, 2));
  };
  EXPECT_EQ(check(FaultKind::kKill, {"worker-4@step=100", "node-1@step=1"}), "");
  EXPECT_EQ(check(FaultKind::kKill, {"worker-0@step=101"}),
            "--kill worker-0@step=101: the job has only 100 steps, so this could never happen");
  EXPECT_EQ(check(FaultKind::kKill, {"node-2@step=1"}),
            "--kill node-2@step=1: there is no such node: --nodes 2 makes node-0 to node-1");
  EXPECT_EQ(check(FaultKind::kKill, {"worker-5@step=1"}),
            "--kill worker-5@step=1: there is no such worker: with maxReplicas 5 they are worker-0 "
            "to worker-4");
  EXPECT_EQ(check(FaultKind::kJoin, {"@step=5"}), "");
  EXPECT_EQ(check(FaultKind::kJoin, {"@step=9", "@step=5"}),
            "--join @step=9: asks for 6 workers, more than maxReplicas, which is 5");
  EXPECT_EQ(check(FaultKind::kScale, {"6@step=5"}),
            "--scale 6@step=5: asks for 6 workers, more than maxReplicas, which is 5");
  job.spec.workers.processes_per_worker = 2;
  EXPECT_EQ(check(FaultKind::kKill, {"worker-1@step=5"}), "");
  EXPECT_EQ(
      check(FaultKind::kKill, {"worker-1@step=5:in=reduce"}),
      "--kill worker-1@step=5:in=reduce: a phase is told to a worker's one process: :in= needs "
      "processesPerWorker 1; it is 2");
}

}  // namespace
}  // namespace muster::cli
