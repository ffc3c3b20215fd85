#include "operator/app/job_metrics.h"

#include <cmath>
#include <utility>

#include "operator/api/training_job_json.h"

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

Family Gauge(const char* name, const char* help, const Labels& labels, double value) {
  return {name, help, SampleType::kGauge, {{labels, value}}};
}

}  // namespace

JobMetrics::JobMetrics()
    : digest_mismatches_(metrics_.MakeCounter("muster_digest_mismatches_total",
                                              "Times that members' digests of one step differed.")),
      reconciles_(metrics_.MakeCounter("controller_runtime_reconcile_total", "Plans made.",
                                       {{"controller", "trainingjob"}})),
      detection_seconds_(metrics_.MakeHistogram(
          "muster_detection_seconds", "From a fault to its eviction.", runtime::SecondsBounds())),
      stall_seconds_(metrics_.MakeHistogram("muster_stall_seconds",
                                            "Training time that one rescale took.",
                                            runtime::SecondsBounds())) {
  metrics_.AddBuildInfo("muster");
  metrics_.AddCollector([this] { return Collect(); });
}

void JobMetrics::Publish(JobFacts facts) {
  facts_.store(std::make_shared<const JobFacts>(std::move(facts)));
}

void JobMetrics::OnRescale(const api::Rescale& rescale) {
  const char* direction = rescale.to > rescale.from   ? "up"
                          : rescale.to < rescale.from ? "down"
                                                      : "same";
  metrics_
      .MakeCounter("muster_rescales_total", "Changes of membership.",
                   {{"cause", rescale.cause}, {"direction", direction}})
      .Increment();
  if (rescale.detect_seconds > 0) detection_seconds_.Observe(rescale.detect_seconds);
  stall_seconds_.Observe(rescale.stall_seconds);
}

void JobMetrics::OnEvicted(const std::string& reason) {
  metrics_.MakeCounter("muster_evictions_total", "Members evicted.", {{"reason", reason}})
      .Increment();
}

void JobMetrics::OnCheckpointAbandoned(bool no_space) {
  metrics_
      .MakeCounter("muster_checkpoints_abandoned_total", "Checkpoints that were not committed.",
                   {{"reason", no_space ? "no_space" : "other"}})
      .Increment();
}

std::vector<Family> JobMetrics::Collect() const {
  const std::shared_ptr<const JobFacts> facts = facts_.load();
  if (facts == nullptr) return {};
  const api::TrainingJobStatus& status = facts->status;
  const Labels job = {{"namespace", facts->ns}, {"job_name", facts->name}};
  std::vector<Family> out;
  Family states{
      "muster_trainingjob_state", "1 for the state that the job is in.", SampleType::kGauge, {}};
  for (api::JobState state : kStates) {
    states.samples.push_back(
        {With(job, "state", std::string(api::ToString(state))), state == status.state ? 1.0 : 0.0});
  }
  out.push_back(std::move(states));
  out.push_back(Gauge("muster_world_size", "Members of the view in force.", job, status.members));
  out.push_back(Gauge("muster_desired_world_size", "Members that the job wants.", job,
                      status.desired_members));
  const double epoch =
      status.membership ? static_cast<double>(status.membership->newest.epoch.value) : 0.0;
  out.push_back(Gauge("muster_epoch", "Number of the newest persisted view.", job, epoch));
  out.push_back(Gauge("muster_step", "Lowest committed step of the view.", job,
                      static_cast<double>(status.progress.step)));
  if (std::isfinite(facts->loss)) {
    out.push_back(Gauge("muster_loss", "Mean loss of the last committed step.", job, facts->loss));
  }
  if (facts->tokens_total) {
    out.push_back({"muster_tokens_total",
                   "Tokens of committed steps.",
                   SampleType::kCounter,
                   {{job, static_cast<double>(*facts->tokens_total)}}});
  }
  Family time{"muster_time_seconds_total",
              "Wall time of the job by what it was spent on.",
              SampleType::kCounter,
              {}};
  for (const auto& [state, seconds] : facts->time_seconds) {
    time.samples.push_back({With(job, "state", state), seconds});
  }
  out.push_back(std::move(time));
  if (status.checkpoint) {
    out.push_back(Gauge("muster_checkpoint_last_committed_timestamp_seconds",
                        "When the newest checkpoint was committed.", job,
                        base::ToSeconds(status.checkpoint->time.time_since_epoch())));
  }
  return out;
}

}  // namespace muster::app
