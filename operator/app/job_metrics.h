// The metrics of a job (docs/metrics.md): its series are collected at scrape time from what was
// published last, counters and histograms of events are kept by handle. The latter carry the
// namespace and no job, and those whose labels are a closed list are there from the start at 0: a
// counter that first appears with its first event has no increase to alert on.
//
// Publish() and the On... calls come from the reign's thread, scrapes from the HTTP listener's.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "operator/base/time.h"
#include "operator/runtime/metrics.h"
#include "operator/runtime/mutex.h"

namespace muster::app {

// What one scrape shows of the job, and no more: an operator has one of these for each job.
struct JobFacts {
  std::string ns;
  std::string name;
  api::Builtin program = api::Builtin::kGpt;
  api::Reduction reduction = api::Reduction::kExact64;
  api::JobState state = api::JobState::kPending;
  std::int32_t members = 0;
  std::int32_t desired_members = 0;
  std::int32_t min_members = 0;
  base::Epoch epoch;  // of the newest persisted view
  std::int64_t step = 0;
  std::optional<base::WallTime> checkpoint_time;  // of the newest that counts
  std::int64_t checkpoint_every_seconds = 0;      // 0: at no interval
  bool listening = false;                         // members may come
  std::optional<std::int64_t> steps_total;        // none: not known yet, left out
  std::optional<std::int64_t> tokens_total;       // likewise
  double loss = 0;                                // of the last step; not finite: left out
  std::map<std::string, double> time_seconds;     // up to now, by state
};

// Of the job as it is with `status`; what only its reign knows is left as it is by default, the loss
// as no number.
JobFacts FactsOf(const api::TrainingJob& job, const api::TrainingJobStatus& status);

class JobMetrics final {
 public:
  // The events go into `metrics`, which outlives it. Two jobs of a namespace share them.
  JobMetrics(runtime::Metrics& metrics, const std::string& ns);

  void Publish(JobFacts facts);
  void OnRescale(const api::Rescale& rescale);
  void OnEvicted(const std::string& reason);
  void OnDigestMismatch() { digest_mismatches_.Increment(); }
  void OnCheckpointAbandoned(bool no_space);
  void OnReconcile() { reconciles_.Increment(); }

  // The job's own series as of what was published last; nothing before.
  std::vector<runtime::Family> Collect() const;
  // For /readyz: whether members may come, or the sentence why not.
  absl::Status Ready() const;

 private:
  std::shared_ptr<const JobFacts> Published() const;
  runtime::Counter Rescales(const std::string& cause, const std::string& direction);
  runtime::Counter Evictions(const std::string& reason);
  runtime::Counter Abandoned(const std::string& reason);

  const runtime::Labels namespace_;
  runtime::Metrics& metrics_;
  runtime::Counter digest_mismatches_;
  runtime::Counter reconciles_;
  // A lock and not an atomic pointer: in that of libstdc++ 12 ThreadSanitizer finds a data race.
  mutable runtime::Mutex mutex_;
  std::shared_ptr<const JobFacts> facts_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::app
