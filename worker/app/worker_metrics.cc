#include "worker/app/worker_metrics.h"

namespace muster::app {

WorkerMetrics::WorkerMetrics() {
  metrics_.AddBuildInfo("muster-worker");
  steps_ = metrics_.MakeHistogram("muster_worker_step_duration_seconds",
                                  "Compute and reduction of a step by this member.",
                                  runtime::SecondsBounds());
  reduced_bytes_ = metrics_.MakeCounter("muster_worker_reduced_bytes_total",
                                        "Payload bytes sent for reductions.");
  refused_ = metrics_.MakeCounter("muster_worker_refused_peers_total",
                                  "Peers of the data plane that were not believed.");
  slots_ = metrics_.MakeCounter("muster_worker_slots_computed_total",
                                "Slots computed by this process, recomputed ones included.");
  flops_ = metrics_.MakeCounter(
      "muster_worker_model_flops_total",
      "Model FLOPs of the slots computed: 6 N + 6 L C T a token (llm.c's formula).");
  // Not a label of the first: their sum would mean nothing.
  flops_palm_ = metrics_.MakeCounter(
      "muster_worker_model_flops_palm_total",
      "Model FLOPs of the slots computed: 6 N + 12 L C T a token (the PaLM paper's formula).");
}

absl::Status WorkerMetrics::Serve(const std::string& host, int port,
                                  std::function<absl::Status()> ready) {
  runtime::HttpEndpoint::Options options;
  options.host = host;
  options.port = port;
  options.metrics = [this] { return metrics_.Text(); };
  options.ready = std::move(ready);
  MUSTER_ASSIGN_OR_RETURN(endpoint_, runtime::HttpEndpoint::Create(std::move(options)));
  return absl::OkStatus();
}

void WorkerMetrics::Phase(const std::string& phase, double seconds) {
  metrics_
      .MakeCounter("muster_worker_phase_seconds_total", "Time spent by what was being done.",
                   {{"phase", phase}})
      .Increment(seconds);
}

void WorkerMetrics::DevicePeak(double flops_per_second) {
  metrics_
      .MakeGauge("muster_worker_device_peak_flops",
                 "Dense bfloat16 operations a second that the device's vendor states.")
      .Set(flops_per_second);
}

void WorkerMetrics::SlotComputed(const model::ModelFlops& flops) const {
  slots_.Increment();
  flops_.Increment(flops.llmc);
  flops_palm_.Increment(flops.palm);
}

}  // namespace muster::app
