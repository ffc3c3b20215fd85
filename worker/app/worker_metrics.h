// What a worker counts (docs/metrics.md): muster_worker_*. Worker series carry no job or rank
// labels; the scrape configuration adds them.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "operator/base/status.h"
#include "operator/runtime/http_endpoint.h"
#include "operator/runtime/metrics.h"
#include "worker/app/collective_rates.h"
#include "worker/device/context.h"
#include "worker/model/flops.h"
#include "worker/nccl/leaks.h"

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
  // As it was read last; without a device there is no series.
  void DeviceMemory(const device::DeviceMemory& memory);
  // A view has connected: `nodes` of `ranks` members.
  void ViewConnected(base::Time now, const std::string& job, std::int32_t nodes,
                     std::int32_t ranks);
  // One vector that was summed; `carrier` is the label algo_proto.
  void Summed(base::Time now, std::int64_t bytes, double seconds, const std::string& carrier);
  // An init of NCCL is over; `rebuilds`: what has been left behind so far.
  void NcclInit(bool succeeded, const nccl::Rebuilds& rebuilds);

 private:
  runtime::Metrics metrics_;
  runtime::Histogram steps_;
  runtime::Counter reduced_bytes_;
  runtime::Counter refused_;
  runtime::Counter slots_;
  runtime::Counter flops_;
  runtime::Counter flops_palm_;
  std::mutex rates_mutex_;
  CollectiveRates rates_;  // guarded by rates_mutex_
  std::unique_ptr<runtime::HttpEndpoint> endpoint_;
};

}  // namespace muster::app
