// The hash sees what may not change once a job has started, and nothing else.
#include "operator/api/frozen_hash.h"

#include <gtest/gtest.h>

#include <functional>

#include "operator/api/schema.h"
#include "operator/api/training_job_json.h"
#include "tests/operator/api/full_job.h"

namespace muster::api {
namespace {

struct Edit {
  const char* what;
  std::function<void(TrainingJobSpec&)> make;
};

const Edit kFixed[] = {
    {"spec.workers.processesPerWorker", [](auto& s) { s.workers.processes_per_worker = 1; }},
    {"spec.program.builtin", [](auto& s) { s.program.builtin = Builtin::kBench; }},
    {"spec.program.config.layers", [](auto& s) { s.program.config.layers = 7; }},
    {"spec.program.config.heads", [](auto& s) { s.program.config.heads = 4; }},
    {"spec.program.config.width", [](auto& s) { s.program.config.width = 264; }},
    {"spec.program.config.context", [](auto& s) { s.program.config.context = 65; }},
    {"spec.program.config.batch", [](auto& s) { s.program.config.batch = 3; }},
    {"spec.program.config.vocabulary", [](auto& s) { s.program.config.vocabulary = 513; }},
    {"spec.program.config.learningRate", [](auto& s) { s.program.config.learning_rate = 3e-5; }},
    {"spec.program.config.warmupSteps", [](auto& s) { s.program.config.warmup_steps = 8; }},
    {"spec.program.config.weightDecay", [](auto& s) { s.program.config.weight_decay = 0.02; }},
    {"spec.program.config.clip", [](auto& s) { s.program.config.clip = 0; }},
    {"spec.program.config.dropout", [](auto& s) { s.program.config.dropout = 0.2; }},
    {"spec.program.config.device", [](auto& s) { s.program.config.device = DeviceRequest::kCpu; }},
    {"spec.program.config.recompute", [](auto& s) { s.program.config.recompute = 1; }},
    {"spec.program.config.matmulTable", [](auto& s) { s.program.config.matmul_table = "/other"; }},
    {"spec.program.weights.path", [](auto& s) { s.program.weights.path = "/models/other"; }},
    {"spec.training.steps", [](auto& s) { s.training.steps = 301; }},
    {"spec.training.slots", [](auto& s) { s.training.slots = 65; }},
    {"spec.training.reduction", [](auto& s) { s.training.reduction = Reduction::kExact64; }},
    {"spec.training.transport", [](auto& s) { s.training.transport = Transport::kAuto; }},
    {"spec.training.evaluateEverySteps", [](auto& s) { s.training.evaluate_every_steps = 51; }},
    {"spec.training.seed", [](auto& s) { s.training.seed = 2; }},
    {"spec.data.path", [](auto& s) { s.data.path = "/elsewhere"; }},
    {"spec.data.format", [](auto& s) { s.data.format = DataFormat::kTokens16; }},
    {"spec.checkpoint.path", [](auto& s) { s.checkpoint.path = "/other"; }},
    {"spec.managedBy", [](auto& s) { s.managed_by = "another"; }},
};

const Edit kFree[] = {
    {"spec.workers.replicas", [](auto& s) { s.workers.replicas = 5; }},
    {"spec.workers.minReplicas", [](auto& s) { s.workers.min_replicas = 1; }},
    {"spec.workers.maxReplicas", [](auto& s) { s.workers.max_replicas = 9; }},
    {"spec.workers.spares", [](auto& s) { s.workers.spares = 0; }},
    {"spec.workers.template", [](auto& s) { s.workers.template_json = "{}"; }},
    {"spec.checkpoint.everySteps", [](auto& s) { s.checkpoint.every_steps = 1; }},
    {"spec.checkpoint.everySeconds", [](auto& s) { s.checkpoint.every_seconds = 1; }},
    {"spec.checkpoint.keep", [](auto& s) { s.checkpoint.keep = 1; }},
    {"spec.elasticity.heartbeatTimeout",
     [](auto& s) { s.elasticity.heartbeat_timeout = std::chrono::seconds(9); }},
    {"spec.elasticity.belowMinTimeout", [](auto& s) { s.elasticity.below_min_timeout.reset(); }},
    {"spec.elasticity.lostPodGracePeriod",
     [](auto& s) { s.elasticity.lost_pod_grace_period = std::chrono::seconds(0); }},
    {"spec.elasticity.avoidNodes.failures", [](auto& s) { s.elasticity.avoid_nodes.failures = 9; }},
    {"spec.elasticity.avoidNodes.window",
     [](auto& s) { s.elasticity.avoid_nodes.window = std::chrono::seconds(9); }},
    {"spec.failurePolicy.maxReplacements", [](auto& s) { s.failure_policy.max_replacements = 0; }},
    {"spec.failurePolicy.window",
     [](auto& s) { s.failure_policy.window = std::chrono::seconds(9); }},
    {"spec.failurePolicy.rules", [](auto& s) { s.failure_policy.rules.clear(); }},
    {"spec.suspend", [](auto& s) { s.suspend = false; }},
    {"spec.activeDeadlineSeconds", [](auto& s) { s.active_deadline_seconds.reset(); }},
    {"spec.ttlSecondsAfterFinished", [](auto& s) { s.ttl_seconds_after_finished.reset(); }},
};

bool IsTried(const std::string& path) {
  for (const Edit& edit : kFixed) {
    if (path == edit.what) return true;
  }
  for (const Edit& edit : kFree) {
    if (path == edit.what) return true;
  }
  return false;
}

TEST(FrozenHashTest, SeesWhatIsFixedAndNothingElse) {
  const std::string hash = FrozenHash(FullSpec());
  EXPECT_EQ(hash.size(), 64u);
  for (const Edit& edit : kFixed) {
    TrainingJobSpec spec = FullSpec();
    edit.make(spec);
    EXPECT_NE(FrozenHash(spec), hash) << edit.what;
  }
  for (const Edit& edit : kFree) {
    TrainingJobSpec spec = FullSpec();
    edit.make(spec);
    ASSERT_NE(spec, FullSpec()) << edit.what;
    EXPECT_EQ(FrozenHash(spec), hash) << edit.what;
  }
}

TEST(FrozenHashTest, EveryFieldOfTheSpecIsTried) {
  for (const Field& field : Schema()) {
    if (!field.path.starts_with("spec.") || field.type == FieldType::kGroup) continue;
    if (field.path.find("[]") != std::string::npos || field.builtin == Builtin::kBench) continue;
    EXPECT_TRUE(IsTried(field.path)) << field.path;
  }
}

TEST(FrozenHashTest, SeesTheSettingsOfBench) {
  TrainingJobSpec bench;
  bench.program.builtin = Builtin::kBench;
  const std::string hash = FrozenHash(bench);
  bench.program.config.layers = 9;  // not bench's
  EXPECT_EQ(FrozenHash(bench), hash);
  bench.program.config.state_bytes = 12;
  EXPECT_NE(FrozenHash(bench), hash);
}

TEST(FrozenHashTest, DoesNotDependOnHowASpecWasSpelt) {
  const absl::StatusOr<TrainingJobSpec> back = ParseTrainingJobSpec(SpecToJson(FullSpec()));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(FrozenHash(*back), FrozenHash(FullSpec()));
  const char* const spelt[] = {
      R"({"training":{"steps":9,"slots":8},"program":{"builtin":"gpt"}})",
      R"({"program":{"config":{"layers":4,"learningRate":1.0e-3},"builtin":"gpt"},
          "training":{"seed":1,"slots":8,"steps":9}})",
  };
  std::string first;
  for (const char* json : spelt) {
    const absl::StatusOr<TrainingJobSpec> spec = ParseTrainingJobSpec(json);
    ASSERT_TRUE(spec.ok()) << spec.status();
    if (first.empty()) first = FrozenHash(*spec);
    EXPECT_EQ(FrozenHash(*spec), first);
  }
}

// A running job keeps its hash in its status: the next release must find the same.
TEST(FrozenHashTest, StaysWhatEarlierReleasesWrote) {
  TrainingJobSpec full = FullSpec();
  // Were not there then.
  full.program.weights = {};
  full.program.config.device = {};
  full.program.config.recompute = {};
  full.program.config.matmul_table = {};
  EXPECT_EQ(FrozenHash(full), "ac90ab4496917d3fa618f777341638df1c3316539b02bb0a608ef9d0e51babda");
  EXPECT_EQ(FrozenHash(TrainingJobSpec()),
            "90e10e37001d26c0e19b675feeb39f6d789edcd7ee14351752627fa6818eeb32");
}

TEST(TemplateHashTest, SeesTheTemplateWhateverTheOrderOfItsKeys) {
  TrainingJobSpec spec;
  spec.workers.template_json = R"({"spec":{"a":1,"b":[2,{"c":3,"d":4}]},"metadata":{}})";
  const std::string hash = TemplateHash(spec);
  spec.workers.template_json = R"({"metadata":{}, "spec":{"b":[2,{"d":4,"c":3}],"a":1}})";
  EXPECT_EQ(TemplateHash(spec), hash);
  // The API server's own comparison misses a key that takes another's place.
  spec.workers.template_json = R"({"metadata":{}, "spec":{"b":[2,{"d":4,"x":3}],"a":1}})";
  EXPECT_NE(TemplateHash(spec), hash);
  spec.workers.template_json = R"({"metadata":{}, "spec":{"b":[{"d":4,"c":3},2],"a":1}})";
  EXPECT_NE(TemplateHash(spec), hash);
}

}  // namespace
}  // namespace muster::api
