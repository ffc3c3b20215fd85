#include "worker/app/collective_rates.h"

#include <array>
#include <cmath>

namespace muster::app {

std::string MessageSizeRange(std::int64_t bytes) {
  constexpr std::array kUnits = {"B", "KB", "MB", "GB", "TB"};
  if (bytes <= 0) return "0B";
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + "-" + std::to_string(bytes + 1) + kUnits[unit];
}

double BusBandwidth(std::int64_t bytes, double seconds, std::int32_t ranks) {
  if (ranks < 2 || seconds <= 0) return 0;
  return static_cast<double>(bytes) / seconds * 2 * (ranks - 1) / ranks / 1e9;
}

void CollectiveRates::Begin(base::Time now, std::string comm_name, std::int32_t nodes,
                            std::int32_t ranks) {
  comm_name_ = std::move(comm_name);
  nodes_ = nodes;
  ranks_ = ranks;
  begun_ = now;
  running_.clear();
  whole_.clear();
}

void CollectiveRates::Add(base::Time now, std::int64_t bytes, double seconds,
                          const std::string& algo_proto) {
  const double bandwidth = BusBandwidth(bytes, seconds, ranks_);
  if (bandwidth <= 0) return;  // alone there is no bus
  if (now - begun_ >= kWindow) {
    whole_ = std::exchange(running_, {});
    begun_ = now;
  }
  Means& means = running_[{MessageSizeRange(bytes), algo_proto}];
  ++means.count;
  means.seconds += seconds;
  means.log_bandwidth += std::log(bandwidth);
}

std::vector<runtime::Family> CollectiveRates::Collect(base::Time now) const {
  runtime::Family bandwidth{"nccl_bus_bandwidth_gbs",
                            "Bus bandwidth of collectives, GB/s.",
                            runtime::SampleType::kGauge,
                            {}};
  runtime::Family time{"nccl_collective_exec_time_microseconds",
                       "Time of collectives, the waiting for others included.",
                       runtime::SampleType::kGauge,
                       {}};
  if (now - begun_ >= 2 * kWindow) return {};
  for (const auto& [key, means] : whole_.empty() ? running_ : whole_) {
    const runtime::Labels labels = {
        {"comm_name", comm_name_},          {"n_nodes", std::to_string(nodes_)},
        {"nranks", std::to_string(ranks_)}, {"collective", "AllReduce"},
        {"message_size", key.first},        {"algo_proto", key.second}};
    const auto count = static_cast<double>(means.count);
    bandwidth.samples.push_back({labels, std::exp(means.log_bandwidth / count)});
    time.samples.push_back({labels, 1e6 * means.seconds / count});
  }
  if (bandwidth.samples.empty()) return {};
  return {std::move(bandwidth), std::move(time)};
}

}  // namespace muster::app
