// A job goes to JSON and back unchanged; what is wrong is named; the frozen part has a digest.
#include "operator/api/training_job_json.h"

#include <gtest/gtest.h>

#include <limits>

#include "operator/api/record_json.h"

namespace muster::api {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

base::WallTime At(std::int64_t ns) { return base::WallTime(base::Duration(ns)); }

TrainingJobSpec FullSpec() {
  TrainingJobSpec spec;
  spec.workers = {4, 2, 8, 1, 2, R"({"metadata":{"labels":{"a":"b"}},"n":1})"};
  spec.program.builtin = Builtin::kGpt;
  spec.program.config = {6, 8, 256, 64, 2, 512, 3e-4, 7, 0.01, 0.5, 0.1};
  spec.training = {300, 64, Reduction::kExact32, Transport::kRing, 50, 9'007'199'254'740'991};
  spec.data = {"/data", DataFormat::kLlmc};
  spec.checkpoint = {"/checkpoints", 100, 600, 5};
  spec.elasticity = {milliseconds(1500), seconds(30), seconds(2), {3, hours(2)}};
  spec.failure_policy = {
      7,
      hours(3),
      {{FailureAction::kFailJob, {1, 74}, ""}, {FailureAction::kIgnore, {}, "DisruptionTarget"}}};
  spec.suspend = true;
  spec.managed_by = "someone";
  spec.active_deadline_seconds = 1000;
  spec.ttl_seconds_after_finished = 0;
  return spec;
}

TrainingJobStatus FullStatus() {
  TrainingJobStatus status;
  status.observed_generation = 2;
  status.conditions = {{"Running", "True", "Training", "training with 7", At(1'000'000'000)}};
  status.state = JobState::kDegraded;
  status.start_time = At(1'700'000'000'000'000'001);
  status.worker_image = "w@sha256:00";
  status.kernel_family = "SkylakeX";
  status.members = 7;
  status.desired_members = 8;
  status.replicas = 8;
  status.selector = "a=b";
  status.checkpoint = CheckpointRef{base::Step(100), base::Epoch(3), "dd", At(5)};
  status.result = JobResult{"01", "02", "2.31", "2.5"};
  Record record;
  record.term = base::Term(2);
  record.nonce = 99;
  record.newest = {base::Epoch(4), {{0, 1}, {3, 2}}};
  record.previous = {base::Epoch(3), {{1, 1}}};
  record.checkpoint = status.checkpoint;
  record.result = status.result;
  record.kernel_family = status.kernel_family;
  status.membership = record;
  status.progress = {120, 300, "2.31", "2.4", 51000.25, At(7)};
  status.time_seconds = {{{"productive", 812.5}, {"detecting", 0.1}}, "productive", At(9)};
  status.rescale_count = 3;
  status.rescales = {{base::Epoch(4), At(11), "Exited", 8, 7, .01, .02, .03, .04, .05, .15, 0, 9}};
  status.failures = {{At(13), {3, 1}, "node-1", "Exited", 74, true},
                     {At(14), {2, 0}, "node-0", "Killed", -1, false}};
  return status;
}

TEST(TrainingJobJsonTest, SpecGoesBothWays) {
  TrainingJobSpec bench;
  bench.program = {Builtin::kBench, {}};
  bench.program.config.state_bytes = std::int64_t{1} << 40;
  bench.program.config.slot_milliseconds = 0.25;
  for (const TrainingJobSpec& spec : {TrainingJobSpec(), FullSpec(), bench}) {
    const absl::StatusOr<TrainingJobSpec> back = ParseTrainingJobSpec(SpecToJson(spec));
    ASSERT_TRUE(back.ok()) << back.status() << SpecToJson(spec);
    EXPECT_EQ(*back, spec) << SpecToJson(spec);
  }
}

TEST(TrainingJobJsonTest, StatusGoesBothWays) {
  for (const TrainingJobStatus& status : {TrainingJobStatus(), FullStatus()}) {
    for (int indent : {-1, 2}) {
      const absl::StatusOr<TrainingJobStatus> back =
          ParseTrainingJobStatus(StatusToJson(status, indent));
      ASSERT_TRUE(back.ok()) << back.status();
      EXPECT_EQ(*back, status) << StatusToJson(status, 2);
    }
  }
}

TEST(TrainingJobJsonTest, StatusIsSpeltAsTheDesignSays) {
  const std::string json = StatusToJson(FullStatus());
  for (const char* part :
       {R"("members":"7/8")", R"("state":"Degraded")", R"("loss":"2.31")", R"("membership":{)",
        R"("members":"0.1 3.2")", R"("tokensPerSecond":51000.25)", R"("stallSeconds":0.15)",
        R"("digest":"01","weightsDigest":"02")"}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
  }
}

TEST(TrainingJobJsonTest, LeavesOutWhatIsNotFinite) {
  TrainingJobStatus status;
  status.progress.tokens_per_second = std::numeric_limits<double>::infinity();
  EXPECT_EQ(StatusToJson(status).find("tokensPerSecond"), std::string::npos);
}

TEST(TrainingJobJsonTest, WholeJobGoesBothWays) {
  TrainingJob job;
  job.name = "licences";
  job.ns = "research";
  job.uid = "u-1";
  job.generation = 5;
  job.spec = FullSpec();
  job.status = FullStatus();
  const absl::StatusOr<TrainingJob> back = ParseTrainingJob(TrainingJobToJson(job, 2));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, job);
}

TEST(TrainingJobJsonTest, NamesTheFieldThatIsWrong) {
  const std::pair<const char*, const char*> specs[] = {
      {"{", "this is not JSON"},
      {"[]", "spec: a list is not allowed: a map of fields"},
      {R"({"training":{"steps":"x"}})",
       "spec.training.steps: \"x\" is not allowed: an integer from 1 to 1000000000"},
      {R"({"training":{"slots":4294967297}})",
       "spec.training.slots: 4294967297 is not allowed: an integer from 1 to 65536"},
      {R"({"trainin":{}})", "spec.trainin: unknown field spec.trainin; did you mean training?"},
  };
  for (const auto& [json, sentence] : specs) {
    const absl::StatusOr<TrainingJobSpec> spec = ParseTrainingJobSpec(json);
    ASSERT_FALSE(spec.ok()) << json;
    EXPECT_EQ(base::Message(spec.status()), sentence);
  }
  const std::pair<const char*, const char*> statuses[] = {
      {R"({"state":"Odd"})",
       "status.state: \"Odd\" is not allowed: a state of a TrainingJob, such as Running"},
      {R"({"members":"7"})", "status.members: \"7\" is not allowed: two counts such as \"7/8\""},
      {R"({"failures":[{"member":"x"}]})",
       "status.failures[0].member: \"x\" is not allowed: a member id such as \"3.2\""},
  };
  for (const auto& [json, sentence] : statuses) {
    const absl::StatusOr<TrainingJobStatus> status = ParseTrainingJobStatus(json);
    ASSERT_FALSE(status.ok()) << json;
    EXPECT_EQ(base::Message(status.status()), sentence);
  }
}

TEST(TrainingJobJsonTest, FrozenDigestSeesWhatMayNotChangeAndNothingElse) {
  const std::string digest = FrozenDigest(FullSpec());
  EXPECT_EQ(digest.size(), 64u);
  TrainingJobSpec other = FullSpec();
  other.workers.replicas = 1;
  other.checkpoint.every_steps = 1;
  other.elasticity.heartbeat_timeout = seconds(9);
  other.suspend = false;
  EXPECT_EQ(FrozenDigest(other), digest);
  other.training.seed = 2;
  EXPECT_NE(FrozenDigest(other), digest);
  other = FullSpec();
  other.program.config.width = 264;
  EXPECT_NE(FrozenDigest(other), digest);
  other = FullSpec();
  other.data.path = "/elsewhere";
  EXPECT_NE(FrozenDigest(other), digest);
}

}  // namespace
}  // namespace muster::api
