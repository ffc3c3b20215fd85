#include "operator/app/job_metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "operator/api/training_job_json.h"
#include "operator/job/reasons.h"

namespace muster::app {
namespace {

using runtime::Family;
using runtime::Labels;
using runtime::Sample;
using runtime::SampleType;

constexpr api::JobState kStates[] = {api::JobState::kPending,   api::JobState::kStarting,
                                     api::JobState::kRunning,   api::JobState::kDegraded,
                                     api::JobState::kResizing,  api::JobState::kSuspended,
                                     api::JobState::kSucceeded, api::JobState::kFailed};

Labels With(Labels labels, const char* name, std::string value) {
  labels[name] = std::move(value);
  return labels;
}

// Why a member can be evicted, and what else makes a view: docs/reasons.md.
constexpr const char* kEvictions[] = {"WorkerKilled", "StreamLost",  "HeartbeatTimeout",
                                      "Stalled",      "CannotReach", "DigestMismatch"};
constexpr const char* kGrowing[] = {"FirstView", "Joined", "ScaledUp"};
constexpr const char* kShrinking[] = {"ScaledDown", "Drained"};

// What was asked for had nothing to be detected, and of a change that a dead coordinator made nobody
// knows. A loss of which the evidence says all was detected in no time: 0 is a figure like others.
bool WasDetected(const std::string& cause) {
  const auto is = [&](const char* other) { return cause == other; };
  return std::ranges::none_of(kGrowing, is) && std::ranges::none_of(kShrinking, is) &&
         cause != job::reasons::kCoordinatorRestarted;
}

constexpr const char* kTimeStates[] = {
    "starting",   "productive",    "detecting",           "agreeing", "rebuilding", "synchronising",
    "evaluating", "checkpointing", "waiting_for_members", "unknown"};

Family Gauge(const char* name, const char* help, const Labels& labels, double value) {
  return {name, help, SampleType::kGauge, {{labels, value}}};
}

Family Counter(const char* name, const char* help, const Labels& labels, std::int64_t value) {
  return {name, help, SampleType::kCounter, {{labels, static_cast<double>(value)}}};
}

Family States(api::JobState now, const Labels& job) {
  Family states{
      "muster_trainingjob_state", "1 for the state that the job is in.", SampleType::kGauge, {}};
  for (api::JobState state : kStates) {
    states.samples.push_back(
        {With(job, "state", std::string(api::ToString(state))), state == now ? 1.0 : 0.0});
  }
  return states;
}

Family Times(std::map<std::string, double> seconds, const Labels& job) {
  for (const char* state : kTimeStates) seconds.try_emplace(state, 0.0);
  Family times{"muster_trainingjob_time_seconds_total",
               "Wall time of the job by what it was spent on.",
               SampleType::kCounter,
               {}};
  for (const auto& [state, value] : seconds) {
    times.samples.push_back({With(job, "state", state), value});
  }
  return times;
}

}  // namespace

JobFacts FactsOf(const api::TrainingJob& job, const api::TrainingJobStatus& status) {
  JobFacts facts;
  facts.ns = job.ns;
  facts.name = job.name;
  facts.program = job.spec.program.builtin;
  facts.reduction = job.spec.training.reduction;
  facts.state = status.state;
  facts.members = status.members;
  facts.desired_members = status.desired_members;
  facts.min_members = job.spec.workers.min_replicas * job.spec.workers.processes_per_worker;
  if (status.membership) facts.epoch = status.membership->newest.epoch;
  facts.step = status.progress.step;
  if (status.checkpoint) facts.checkpoint_time = status.checkpoint->time;
  facts.checkpoint_every_seconds = job.spec.checkpoint.every_seconds;
  facts.loss = std::numeric_limits<double>::quiet_NaN();
  return facts;
}

JobMetrics::JobMetrics(runtime::Metrics& metrics, const std::string& ns)
    : namespace_({{"namespace", ns}}),
      metrics_(metrics),
      digest_mismatches_(metrics_.MakeCounter("muster_trainingjob_digest_mismatches_total",
                                              "Times that members' digests of one step differed.",
                                              namespace_)),
      reconciles_(metrics_.MakeCounter("controller_runtime_reconcile_total", "Plans made.",
                                       {{"controller", "trainingjob"}})) {
  for (const char* reason : kEvictions) {
    Evictions(reason);
    Rescales(reason, "down");
  }
  for (const char* cause : kGrowing) Rescales(cause, "up");
  for (const char* cause : kShrinking) Rescales(cause, "down");
  for (const char* reason : {"no_space", "other"}) Abandoned(reason);
}

runtime::Counter JobMetrics::Rescales(const std::string& cause, const std::string& direction) {
  return metrics_.MakeCounter("muster_trainingjob_rescales_total", "Changes of membership.",
                              With(With(namespace_, "cause", cause), "direction", direction));
}

runtime::Counter JobMetrics::Evictions(const std::string& reason) {
  return metrics_.MakeCounter("muster_trainingjob_evictions_total", "Members evicted.",
                              With(namespace_, "reason", reason));
}

runtime::Counter JobMetrics::Abandoned(const std::string& reason) {
  return metrics_.MakeCounter("muster_trainingjob_checkpoints_abandoned_total",
                              "Checkpoints that were begun and not committed.",
                              With(namespace_, "reason", reason));
}

std::shared_ptr<const JobFacts> JobMetrics::Published() const {
  runtime::MutexLock lock(mutex_);
  return facts_;
}

void JobMetrics::Publish(JobFacts facts) {
  auto published = std::make_shared<const JobFacts>(std::move(facts));
  runtime::MutexLock lock(mutex_);
  facts_ = std::move(published);
}

void JobMetrics::OnRescale(const api::Rescale& rescale) {
  Rescales(rescale.cause, rescale.to > rescale.from   ? "up"
                          : rescale.to < rescale.from ? "down"
                                                      : "same")
      .Increment();
  const Labels labels = With(namespace_, "cause", rescale.cause);
  if (WasDetected(rescale.cause)) {
    metrics_
        .MakeHistogram("muster_trainingjob_detection_seconds",
                       "From the first sign of a fault to the decision.", runtime::SecondsBounds(),
                       labels)
        .Observe(rescale.detect_seconds);
  }
  metrics_
      .MakeHistogram("muster_trainingjob_stall_seconds", "Training time that one change took.",
                     runtime::SecondsBounds(), labels)
      .Observe(rescale.stall_seconds);
}

void JobMetrics::OnEvicted(const std::string& reason) { Evictions(reason).Increment(); }

void JobMetrics::OnCheckpointAbandoned(bool no_space) {
  Abandoned(no_space ? "no_space" : "other").Increment();
}

absl::Status JobMetrics::Ready() const {
  const std::shared_ptr<const JobFacts> facts = Published();
  if (facts != nullptr && facts->listening) return absl::OkStatus();
  return base::Unavailable("the coordinator does not take members yet");
}

std::vector<Family> JobMetrics::Collect() const {
  const std::shared_ptr<const JobFacts> facts = Published();
  if (facts == nullptr) return {};
  const Labels job = With(With(namespace_, "namespace", facts->ns), "job_name", facts->name);
  std::vector<Family> out;
  const Labels info = With(With(job, "program", std::string(api::ToString(facts->program))),
                           "reduction", std::string(api::ToString(facts->reduction)));
  out.push_back(Gauge("muster_trainingjob_info", "Always 1.", info, 1));
  out.push_back(States(facts->state, job));
  out.push_back(
      Gauge("muster_trainingjob_world_size", "Members of the view in force.", job, facts->members));
  out.push_back(Gauge("muster_trainingjob_desired_world_size", "Members that the job wants.", job,
                      facts->desired_members));
  out.push_back(Gauge("muster_trainingjob_min_members", "Members below which training waits.", job,
                      facts->min_members));
  out.push_back(Gauge("muster_trainingjob_epoch", "Number of the newest persisted view.", job,
                      static_cast<double>(facts->epoch.value)));
  out.push_back(Gauge("muster_trainingjob_step", "Lowest committed step of the view.", job,
                      static_cast<double>(facts->step)));
  if (std::isfinite(facts->loss)) {
    out.push_back(Gauge("muster_trainingjob_loss", "Mean loss of the last committed step.", job,
                        facts->loss));
  }
  if (facts->steps_total) {
    out.push_back(
        Counter("muster_trainingjob_steps_total", "Steps committed.", job, *facts->steps_total));
  }
  if (facts->tokens_total) {
    out.push_back(Counter("muster_trainingjob_tokens_total", "Tokens of committed steps.", job,
                          *facts->tokens_total));
  }
  out.push_back(Times(facts->time_seconds, job));
  if (facts->checkpoint_time) {
    out.push_back(Gauge("muster_trainingjob_checkpoint_last_committed_timestamp_seconds",
                        "When the newest checkpoint was committed.", job,
                        base::ToSeconds(facts->checkpoint_time->time_since_epoch())));
  }
  if (facts->checkpoint_every_seconds > 0) {
    out.push_back(Gauge("muster_trainingjob_checkpoint_interval_seconds",
                        "spec.checkpoint.everySeconds.", job,
                        static_cast<double>(facts->checkpoint_every_seconds)));
  }
  return out;
}

}  // namespace muster::app
