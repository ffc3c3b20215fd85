// What a run refuses or only notes on one machine, and how its end is told.
#include "operator/cli/run.h"

#include <gtest/gtest.h>

#include <sstream>

#include "operator/cli/manifest.h"
#include "operator/cli/summary.h"
#include "tests/operator/cli/good_manifest.h"

namespace muster::cli {
namespace {

api::TrainingJob Good() { return CheckManifest("f", kGood).result.job; }

TEST(RunTest, RefusesWhatOneMachineCannotDo) {
  api::TrainingJob job = Good();
  job.spec.workers.spares = 1;
  job.spec.suspend = true;
  const Prepared prepared = Prepare({}, job, "/w");
  ASSERT_EQ(prepared.errors.size(), 2u);
  EXPECT_EQ(prepared.errors[0].substr(0, 55),
            "spec.workers.spares: 1 is not possible on one machine: ");
}

TEST(RunTest, NotesWhatOnlyAClusterUses) {
  api::TrainingJob job = Good();
  job.spec.workers.template_json = R"({"spec":{}})";
  job.spec.ttl_seconds_after_finished = 5;
  job.spec.managed_by = "x";
  job.spec.elasticity.lost_pod_grace_period = std::chrono::seconds(3);
  const Prepared prepared = Prepare({}, job, "/w");
  EXPECT_TRUE(prepared.errors.empty());
  EXPECT_EQ(prepared.notes.size(), 4u);
  EXPECT_EQ(prepared.notes.at(0),
            "spec.workers.template matters on a cluster only: it has no effect here");
  EXPECT_TRUE(Prepare({}, Good(), "/w").notes.empty());
}

TEST(RunTest, ReplicasComeFromTheCommandLineWithinMax) {
  RunOptions options;
  options.replicas = 2;
  api::TrainingJob job = Good();
  job.spec.workers.min_replicas = 4;
  const Prepared prepared = Prepare(options, job, "/w");
  EXPECT_TRUE(prepared.errors.empty());
  EXPECT_EQ(prepared.job.spec.workers.replicas, 2);
  EXPECT_EQ(prepared.job.spec.workers.min_replicas, 2);
  options.replicas = 9;
  EXPECT_EQ(Prepare(options, Good(), "/w").errors.at(0),
            "--replicas 9 is not allowed: at most maxReplicas, which is 8");
}

TEST(RunTest, ARelativePathOfDataOrWeightsIsThePersons) {
  api::TrainingJob job = Good();
  job.spec.data.path = "texts";
  EXPECT_EQ(Prepare({}, job, "/w").job.spec.data.path, "/w/texts");
  EXPECT_EQ(Prepare({}, job, "/w").job.spec.program.weights.path, "") << "none is no folder";
  job.spec.program.weights.path = "models/gpt2";
  EXPECT_EQ(Prepare({}, job, "/w").job.spec.program.weights.path, "/w/models/gpt2");
  EXPECT_EQ(Prepare({}, job, "/w").job.spec.program.config.matmul_table, "");
  job.spec.program.config.matmul_table = "h200.table";
  EXPECT_EQ(Prepare({}, job, "/w").job.spec.program.config.matmul_table, "/w/h200.table");
}

TEST(RunTest, ABadManifestIsStatusTwoBeforeAnythingStarts) {
  RunOptions options;
  options.file = "-";
  std::istringstream in(Edited("slots: 64", "slots: 0"));
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(RunRun(options, in, out, err), kExitUsage);
  EXPECT_EQ(out.str(), "");
  EXPECT_EQ(err.str(),
            "<stdin>:15: spec.training.slots: 0 is not allowed: an integer from 1 to 65536\n");
}

local::Outcome Succeeded() {
  local::Outcome outcome;
  outcome.ending = local::Ending::kSucceeded;
  outcome.status.progress.step = 300;
  outcome.status.progress.steps = 300;
  outcome.status.result = api::JobResult{"00ab", "cd", "1.5", "1.75"};
  outcome.status.rescale_count = 1;
  outcome.status.rescales = {
      {base::Epoch(2), {}, "Exited", 4, 3, .01, .002, .03, 0, .05, .092, 0, 4}};
  return outcome;
}

TEST(SummaryTest, TellsTheResultBesideTheTrigram) {
  RunState state;
  state.baseline = 2.1;
  state.now = state.started + std::chrono::seconds(65);
  EXPECT_EQ(SummaryLines(Succeeded(), state, "muster run f", false),
            (std::vector<std::string>{
                "succeeded",
                "steps          300 of 300",
                "digest         00ab",
                "weightsDigest  cd",
                "loss           1.5",
                "held-out loss  1.75  (interpolated trigram: 2.1000)",
                "changes of membership (1), in milliseconds",
                "(sync: synchronise, redo: recompute, again: slots computed again):",
                "epoch  members detect agree rebuild  sync  redo stall again  cause",
                "    2  4->3        10     2      30     0    50    92     4  Exited",
                "wall time      1m05s",
            }));
  EXPECT_EQ(SummaryLines(Succeeded(), state, "muster run f", true).size(), 7u);
}

TEST(SummaryTest, ExitStatusIsAsTheHelpSays) {
  local::Outcome outcome = Succeeded();
  EXPECT_EQ(ExitStatus(outcome), 0);
  outcome.unfired_faults = {"--kill worker-3@step=9"};
  EXPECT_EQ(ExitStatus(outcome), 2);
  EXPECT_EQ(SummaryLines(outcome, {}, "c", true).back(),
            "a fault never fired: --kill worker-3@step=9; the run ended before it was due or its "
            "target was never there");
  outcome.ending = local::Ending::kFailed;
  outcome.status.conditions = {{"Failed", "True", "BadData", "too short", {}}};
  EXPECT_EQ(ExitStatus(outcome), 1);
  EXPECT_EQ(SummaryLines(outcome, {}, "c", true).front(), "failed: BadData: too short");
  RunState began;
  began.steps = 9;
  outcome.status.conditions[0].message = "worker 0.0: no\nlog 1\nlog 2";
  outcome.status.progress = {};
  const auto lines = SummaryLines(outcome, began, "c", true);
  EXPECT_EQ((std::vector<std::string>(lines.begin(), lines.begin() + 4)),
            (std::vector<std::string>{"failed: BadData: worker 0.0: no", "    | log 1",
                                      "    | log 2", "steps          0 of 9"}));
  outcome.ending = local::Ending::kDrained;
  outcome.status.checkpoint = api::CheckpointRef{base::Step(40), {}, "d", {}};
  EXPECT_EQ(ExitStatus(outcome), 130);
  EXPECT_EQ(SummaryLines(outcome, {}, "muster run f", true).at(0),
            "stopped; the state of step 40 is committed. Go on with:");
  EXPECT_EQ(SummaryLines(outcome, {}, "muster run f", true).at(1), "  muster run f");
}

}  // namespace
}  // namespace muster::cli
