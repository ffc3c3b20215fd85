#include "worker/app/worker_metrics.h"

#include "operator/runtime/clock.h"

namespace muster::app {
namespace {

// Read at each scrape, with the descriptors that the scrape itself takes.
std::vector<runtime::Family> ProcessFamilies() {
  const auto usage = nccl::ReadUsage();
  if (!usage.ok()) return {};
  return {{"muster_worker_open_fds",
           "Open file descriptors of this process.",
           runtime::SampleType::kGauge,
           {{{}, static_cast<double>(usage->fds)}}},
          {"muster_worker_threads",
           "Threads of this process.",
           runtime::SampleType::kGauge,
           {{{}, static_cast<double>(usage->threads)}}}};
}

}  // namespace

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
  metrics_.AddCollector(ProcessFamilies);
  metrics_.AddCollector([this] {
    std::lock_guard lock(rates_mutex_);
    return rates_.Collect(runtime::RealClock().Now());
  });
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

void WorkerMetrics::DeviceMemory(const device::DeviceMemory& memory) {
  metrics_
      .MakeGauge("muster_worker_device_memory_used_bytes",
                 "Memory of the device that is taken, by whomever.")
      .Set(static_cast<double>(memory.used));
  metrics_.MakeGauge("muster_worker_device_memory_total_bytes", "Memory of the device.")
      .Set(static_cast<double>(memory.total));
}

void WorkerMetrics::ViewConnected(base::Time now, const std::string& job, std::int32_t nodes,
                                  std::int32_t ranks) {
  std::lock_guard lock(rates_mutex_);
  rates_.Begin(now, job, nodes, ranks);
}

void WorkerMetrics::Summed(base::Time now, std::int64_t bytes, double seconds,
                           const std::string& carrier) {
  std::lock_guard lock(rates_mutex_);
  rates_.Add(now, bytes, seconds, carrier);
}

void WorkerMetrics::NcclInit(bool succeeded, const nccl::Rebuilds& rebuilds) {
  const auto inits = [this](const char* outcome) {
    return metrics_.MakeCounter("muster_worker_nccl_inits_total",
                                "Communicators of NCCL that were to be built.",
                                {{"outcome", outcome}});
  };
  inits("succeeded").Increment(succeeded ? 1 : 0);
  inits("failed").Increment(succeeded ? 0 : 1);
  metrics_
      .MakeGauge("muster_worker_nccl_unused_ids",
                 "Unique ids made here with which no init came to an end; each keeps a thread.")
      .Set(static_cast<double>(rebuilds.unused_ids));
}

void WorkerMetrics::SlotComputed(const model::ModelFlops& flops) const {
  slots_.Increment();
  flops_.Increment(flops.llmc);
  flops_palm_.Increment(flops.palm);
}

}  // namespace muster::app
