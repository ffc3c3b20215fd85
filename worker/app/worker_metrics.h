// What a worker counts (docs/metrics.md): muster_worker_*. Worker series carry no job or rank
// labels; the scrape configuration adds them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "operator/base/status.h"
#include "operator/runtime/http_endpoint.h"
#include "operator/runtime/metrics.h"
#include "worker/model/flops.h"

namespace muster::app {

class WorkerMetrics {
 public:
  WorkerMetrics();

  // Serves /metrics, /healthz and /readyz on `port` (0: any free one).
  absl::Status Serve(const std::string& host, int port, std::function<absl::Status()> ready);
  int port() const { return endpoint_ == nullptr ? -1 : endpoint_->port(); }

  void StepCommitted(double seconds) const { steps_.Observe(seconds); }
  void Phase(const std::string& phase, double seconds);
  void ReducedBytes(double bytes) const { reduced_bytes_.Increment(bytes); }
  void PeerRefused() const { refused_.Increment(); }
  void SlotComputed(const model::ModelFlops& flops) const;
  // Once, of a device whose peak is known: without it there is no series.
  void DevicePeak(double flops_per_second);

 private:
  runtime::Metrics metrics_;
  runtime::Histogram steps_;
  runtime::Counter reduced_bytes_;
  runtime::Counter refused_;
  runtime::Counter slots_;
  runtime::Counter flops_;
  runtime::Counter flops_palm_;
  std::unique_ptr<runtime::HttpEndpoint> endpoint_;
};

}  // namespace muster::app
