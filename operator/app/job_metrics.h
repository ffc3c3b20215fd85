// The coordinator's metrics (docs/metrics.md): series of the job collected at scrape time from
// what was published last, counters and histograms of events kept by handle. The latter carry the
// namespace and no job, and those whose labels are a closed list are there from the start at 0: a
// counter that first appears with its first event has no increase to alert on.
//
// Publish() and the On... calls come from the reign's thread, scrapes from the HTTP listener's.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "operator/base/time.h"
#include "operator/runtime/metrics.h"

namespace muster::app {

// What one scrape shows of the job.
struct JobFacts {
  std::string ns;
  std::string name;
  api::TrainingJobSpec spec;
  api::TrainingJobStatus status;
  bool listening = false;                      // members may come
  std::optional<std::int64_t> steps_total;     // none: not known yet, left out
  std::optional<std::int64_t> tokens_total;    // likewise
  double loss = 0;                             // of the last step; not finite: left out
  std::map<std::string, double> time_seconds;  // up to now, by state
};

class JobMetrics final {
 public:
  explicit JobMetrics(const std::string& ns);

  void Publish(JobFacts facts);
  void OnRescale(const api::Rescale& rescale);
  void OnEvicted(const std::string& reason);
  void OnDigestMismatch() { digest_mismatches_.Increment(); }
  void OnCheckpointAbandoned(bool no_space);
  void OnReconcile() { reconciles_.Increment(); }

  std::string Text() const { return metrics_.Text(); }
  // For /readyz: whether members may come, or the sentence why not.
  absl::Status Ready() const;

 private:
  runtime::Counter Rescales(const std::string& cause, const std::string& direction);
  runtime::Counter Evictions(const std::string& reason);
  runtime::Counter Abandoned(const std::string& reason);
  std::vector<runtime::Family> Collect() const;

  const runtime::Labels namespace_;
  runtime::Metrics metrics_;
  runtime::Counter digest_mismatches_;
  runtime::Counter reconciles_;
  std::atomic<std::shared_ptr<const JobFacts>> facts_;
};

}  // namespace muster::app
