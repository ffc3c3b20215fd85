// The coordinator's metrics (docs/metrics.md): series of the job collected at scrape time from
// what was published last, counters of events kept by handle.
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
#include "operator/base/time.h"
#include "operator/runtime/metrics.h"

namespace muster::app {

// What one scrape shows of the job.
struct JobFacts {
  std::string ns;
  std::string name;
  api::TrainingJobStatus status;
  std::optional<std::int64_t> tokens_total;    // none: not known yet, left out
  double loss = 0;                             // of the last step; not finite: left out
  std::map<std::string, double> time_seconds;  // up to now, by state
};

class JobMetrics final {
 public:
  JobMetrics();

  void Publish(JobFacts facts);
  void OnRescale(const api::Rescale& rescale);
  void OnEvicted(const std::string& reason);
  void OnDigestMismatch() { digest_mismatches_.Increment(); }
  void OnCheckpointAbandoned(bool no_space);
  void OnReconcile() { reconciles_.Increment(); }

  std::string Text() const { return metrics_.Text(); }

 private:
  std::vector<runtime::Family> Collect() const;

  runtime::Metrics metrics_;
  runtime::Counter digest_mismatches_;
  runtime::Counter reconciles_;
  runtime::Histogram detection_seconds_;
  runtime::Histogram stall_seconds_;
  std::atomic<std::shared_ptr<const JobFacts>> facts_;
};

}  // namespace muster::app
