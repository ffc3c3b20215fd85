// A spec and a status in which every field is set, and none has its default.
#pragma once

#include "operator/api/record_json.h"
#include "operator/api/training_job.h"

namespace muster::api {

inline base::WallTime At(std::int64_t ns) { return base::WallTime(base::Duration(ns)); }

inline TrainingJobSpec FullSpec() {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  TrainingJobSpec spec;
  spec.workers = {4, 2, 8, 1, 2, R"({"metadata":{"labels":{"a":"b"}},"n":1})"};
  spec.program.builtin = Builtin::kGpt;
  spec.program.config = {
      6, 8, 256, 64, 2, 512, 3e-4, 7, 0.01, 0.5, 0.1, DeviceRequest::kCuda, 2, "/tables/h200"};
  spec.program.weights = {"/models/gpt2"};
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

inline TrainingJobStatus FullStatus() {
  TrainingJobStatus status;
  status.observed_generation = 2;
  status.conditions = {{"Running", "True", "Training", "training with 7", At(1'000'000'000)}};
  status.state = JobState::kDegraded;
  status.start_time = At(1'700'000'000'000'000'001);
  status.worker_image = "w@sha256:00";
  status.objects_hash = "0123456789abcdef";
  status.spec_hash = "5a";
  status.template_hash = "7e";
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
  record.build_id = "b1";
  record.data_digest = "d1";
  record.device = "cpu";
  record.start_weights_digest = "s1";
  record.version = 12;
  record.kept_checkpoints = {{base::Step(50), base::Epoch(1), "ee", At(3)}};
  status.membership = record;
  status.progress = {120, 300, "2.31", "2.4", 51000.25, At(7)};
  status.time_seconds = {{{"productive", 812.5}, {"detecting", 0.1}}, "productive", At(9)};
  status.rescale_count = 3;
  status.rescales = {{base::Epoch(4), At(11), "Exited", 8, 7, .01, .02, .03, .04, .05, .15, 2, 9}};
  status.failures = {{At(13), {3, 1}, "node-1", "Exited", 74, true},
                     {At(14), {2, 0}, "node-0", "Killed", -1, false}};
  return status;
}

}  // namespace muster::api
