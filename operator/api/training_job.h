// TrainingJob, muster.dev/v1alpha1, as plain structs: what a manifest says and what status reports.
//
// Field names are the manifest's in snake_case; `muster explain` tells ranges and defaults. The
// structs hold validated values; Parse and Validate live in training_job_json.h and
// job_validation.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "operator/api/view.h"
#include "operator/base/ids.h"
#include "operator/base/time.h"

namespace muster::api {

enum class Builtin { kGpt, kBench };
enum class Reduction { kExact64, kExact32, kFloat };
enum class Transport { kAuto, kRing, kNccl };
enum class DeviceRequest { kAuto, kCpu, kCuda };
enum class DataFormat { kText, kLlmc, kTokens16 };

// Typed properties of program.config: the union of the built-ins'. Each built-in uses its own.
struct ProgramConfig {
  // gpt
  std::int32_t layers = 4;
  std::int32_t heads = 4;
  std::int32_t width = 128;       // model dimension; divisible by heads
  std::int32_t context = 128;     // tokens a sequence
  std::int32_t batch = 1;         // B: sequences a slot
  std::int32_t vocabulary = 256;  // text: always 256; llmc, tokens16: as the data was made
  double learning_rate = 1e-3;
  std::int32_t warmup_steps = 20;
  double weight_decay = 0.1;
  double clip = 1.0;  // global gradient norm; 0: off
  double dropout = 0.0;
  DeviceRequest device = DeviceRequest::kAuto;
  std::int32_t recompute = 0;  // with kCuda alone: what the way back makes again to save memory
  std::string matmul_table =
      {};  // with kCuda alone: a file of algorithms; empty: cuBLASLt's choice
  // bench
  std::int64_t state_bytes = 4 << 20;  // weights and moments, 12 bytes a parameter
  double slot_milliseconds = 5.0;      // processor time a slot
  friend bool operator==(const ProgramConfig&, const ProgramConfig&) = default;
};

struct WorkersSpec {
  std::int32_t replicas = 1;
  std::int32_t min_replicas = 1;
  std::int32_t max_replicas = 1;  // default: replicas
  std::int32_t spares = 0;
  std::int32_t processes_per_worker = 1;
  std::string template_json = "{}";  // PodTemplateSpec, unread on one machine
  friend bool operator==(const WorkersSpec&, const WorkersSpec&) = default;
};

// What the first step starts from.
struct WeightsSpec {
  std::string path;  // a safetensors file or a folder with one; empty: random ones, by the seed
  friend bool operator==(const WeightsSpec&, const WeightsSpec&) = default;
};

struct ProgramSpec {
  Builtin builtin = Builtin::kGpt;
  ProgramConfig config;
  WeightsSpec weights;
  friend bool operator==(const ProgramSpec&, const ProgramSpec&) = default;
};

struct TrainingSpec {
  std::int64_t steps = 1;
  std::int32_t slots = 1;  // M
  Reduction reduction = Reduction::kExact64;
  Transport transport = Transport::kAuto;
  std::int64_t evaluate_every_steps = 0;  // 0: only after the last step
  std::uint64_t seed = 1;
  friend bool operator==(const TrainingSpec&, const TrainingSpec&) = default;
};

struct DataSpec {
  std::string path;  // bench needs none
  DataFormat format = DataFormat::kText;
  friend bool operator==(const DataSpec&, const DataSpec&) = default;
};

struct CheckpointSpec {
  std::string path;                // empty: none on a cluster; the state directory on one machine
  std::int64_t every_steps = 0;    // 0: not by steps
  std::int64_t every_seconds = 0;  // 0: not by time
  std::int32_t keep = 3;
  friend bool operator==(const CheckpointSpec&, const CheckpointSpec&) = default;
};

struct AvoidNodesSpec {
  std::int32_t failures = 2;
  base::Duration window = std::chrono::hours(1);
  friend bool operator==(const AvoidNodesSpec&, const AvoidNodesSpec&) = default;
};

struct ElasticitySpec {
  base::Duration heartbeat_timeout = std::chrono::seconds(1);
  std::optional<base::Duration> below_min_timeout;  // none: wait for ever
  base::Duration lost_pod_grace_period{0};
  AvoidNodesSpec avoid_nodes;
  friend bool operator==(const ElasticitySpec&, const ElasticitySpec&) = default;
};

enum class FailureAction { kReplace, kFailJob, kIgnore };

// Matches when every given part does; the first matching rule decides.
struct FailureRule {
  FailureAction action = FailureAction::kReplace;
  std::vector<std::int32_t> exit_codes;  // empty: any
  std::string pod_condition;             // type of a true pod condition; empty: any
  friend bool operator==(const FailureRule&, const FailureRule&) = default;
};

struct FailurePolicySpec {
  std::int32_t max_replacements = 100;
  base::Duration window = std::chrono::hours(1);
  std::vector<FailureRule> rules;
  friend bool operator==(const FailurePolicySpec&, const FailurePolicySpec&) = default;
};

struct TrainingJobSpec {
  WorkersSpec workers;
  ProgramSpec program;
  TrainingSpec training;
  DataSpec data;
  CheckpointSpec checkpoint;
  ElasticitySpec elasticity;
  FailurePolicySpec failure_policy;
  bool suspend = false;
  std::string managed_by;
  std::optional<std::int64_t> active_deadline_seconds;
  std::optional<std::int64_t> ttl_seconds_after_finished;
  friend bool operator==(const TrainingJobSpec&, const TrainingJobSpec&) = default;
};

// A Kubernetes condition. reason and message are always set.
struct Condition {
  std::string type;
  std::string status;  // True | False | Unknown
  std::string reason;
  std::string message;
  base::WallTime last_transition_time;
  friend bool operator==(const Condition&, const Condition&) = default;
};

enum class JobState {
  kPending,
  kStarting,
  kRunning,
  kDegraded,
  kResizing,
  kSuspended,
  kSucceeded,
  kFailed
};

struct Progress {
  std::int64_t step = 0;  // lowest committed of the view (M12)
  std::int64_t steps = 0;
  std::string loss;
  std::string held_out_loss;
  double tokens_per_second = 0;
  std::optional<base::WallTime> estimated_completion_time;
  friend bool operator==(const Progress&, const Progress&) = default;
};

// One change of membership with what each phase took.
struct Rescale {
  base::Epoch epoch;
  base::WallTime time;
  std::string cause;  // closed list in docs/reasons.md
  std::int32_t from = 0;
  std::int32_t to = 0;
  double detect_seconds = 0;
  double agree_seconds = 0;
  double rebuild_seconds = 0;
  double synchronise_seconds = 0;
  double recompute_seconds = 0;
  double stall_seconds = 0;
  std::int64_t steps_lost = 0;
  std::int64_t slots_recomputed = 0;
  friend bool operator==(const Rescale&, const Rescale&) = default;
};

struct FailureEntry {
  base::WallTime time;
  base::MemberId member;
  std::string node;
  std::string reason;
  std::int32_t exit_code = -1;  // -1: killed by a signal or not known
  bool charged = false;         // counts for maxReplacements
  friend bool operator==(const FailureEntry&, const FailureEntry&) = default;
};

// Closed sums by state, and what runs now: wall time is never lost without a write.
struct TimeSeconds {
  std::map<std::string, double> closed;
  std::string state;
  base::WallTime since;
  friend bool operator==(const TimeSeconds&, const TimeSeconds&) = default;
};

struct TrainingJobStatus {
  std::int64_t observed_generation = 0;
  std::vector<Condition> conditions;
  JobState state = JobState::kPending;
  std::optional<base::WallTime> start_time;
  std::string worker_image;
  std::string objects_hash;   // of the objects around the pods, once all of them are there
  std::string spec_hash;      // of what the start has fixed (frozen_hash.h); empty: not started
  std::string template_hash;  // of the template that the pods are made from
  std::string kernel_family;
  std::int32_t members = 0;  // rendered as members/desired
  std::int32_t desired_members = 0;
  std::int32_t replicas = 0;
  std::string selector;
  std::optional<Record> membership;  // with checkpoint and result the record
  Progress progress;
  TimeSeconds time_seconds;
  std::int64_t rescale_count = 0;
  std::vector<Rescale> rescales;
  std::vector<FailureEntry> failures;
  std::optional<CheckpointRef> checkpoint;
  std::optional<JobResult> result;
  friend bool operator==(const TrainingJobStatus&, const TrainingJobStatus&) = default;
};

struct TrainingJob {
  std::string name;
  std::string ns = "default";  // metadata.namespace
  std::string uid;
  std::int64_t generation = 1;
  TrainingJobSpec spec;
  TrainingJobStatus status;
  friend bool operator==(const TrainingJob&, const TrainingJob&) = default;
};

}  // namespace muster::api
