// The metrics of all jobs that this process coordinates, in one registry.
//
// A job's own series are there while its JobMetrics is: they vanish with the job. Safe from every
// thread.
#pragma once

#include <memory>
#include <string>

#include "operator/app/job_metrics.h"
#include "operator/runtime/metrics.h"

namespace muster::app {

class FleetMetrics final {
 public:
  // `metrics` outlives what Add gives, and may outlive this.
  explicit FleetMetrics(runtime::Metrics& metrics);

  // Whose series are collected as long as somebody holds it.
  std::shared_ptr<JobMetrics> Add(const std::string& ns);

 private:
  struct State;
  runtime::Metrics& metrics_;
  const std::shared_ptr<State> state_;
};

}  // namespace muster::app
