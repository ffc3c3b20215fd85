// How fast collectives went, by size of message, under the names and labels of NCCL Inspector
// (docs/metrics.md), so that its dashboards show NCCL's sums and the ring's alike.
//
// Thread rule: one thread at a time. What is told are means over 30 s, the least interval of the
// Inspector's own files; while the first ones run, over what has gone by.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "operator/base/time.h"
#include "operator/runtime/metrics.h"

namespace muster::app {

// "134-135MB": the Inspector's ranges, one unit wide, with units of 1,024.
std::string MessageSizeRange(std::int64_t bytes);

// GB/s of an all-reduce: 2(n-1)/n of the bytes by the time.
double BusBandwidth(std::int64_t bytes, double seconds, std::int32_t ranks);

class CollectiveRates final {
 public:
  static constexpr base::Duration kWindow = std::chrono::seconds(30);

  // What comes is of these members; what was before is forgotten, for its labels are no longer true.
  void Begin(base::Time now, std::string comm_name, std::int32_t nodes, std::int32_t ranks);
  // An all-reduce that was confirmed. `algo_proto` as a label: who carried it.
  void Add(base::Time now, std::int64_t bytes, double seconds, const std::string& algo_proto);
  // Nothing when there was none for two windows.
  std::vector<runtime::Family> Collect(base::Time now) const;

 private:
  struct Means {
    std::int64_t count = 0;
    double seconds = 0;
    double log_bandwidth = 0;  // the mean of bandwidths is geometric, as the Inspector's
  };
  using Key = std::pair<std::string, std::string>;  // size range, algo_proto

  std::string comm_name_;
  std::int32_t nodes_ = 0;
  std::int32_t ranks_ = 0;
  base::Time begun_;  // the window of running_
  std::map<Key, Means> running_, whole_;
};

}  // namespace muster::app
