// A job's history, ConfigMap <job>-history: every change of membership, every loss and the course of
// training, of which the status keeps only the newest. Pure, and one thread.
//
// Each entry is a key of `data` and a line of JSON, so that a write carries only what is new:
//   rescale.EPOCH              as in status.rescales
//   loss.TIME.ORDINAL.INCARNATION    as in status.failures
//   progress.TIME              step, loss, tokensPerSecond, members
// Numbers have leading zeros: keys in byte order are in the order of time. What is written twice is
// written once, and whoever goes on from the status alone repeats what it has.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "operator/api/training_job.h"
#include "operator/base/status.h"

namespace muster::kube {

// How much there is at most. An object of the API server may have 1 MiB of data; this is far below.
struct HistoryBounds {
  std::size_t rescales = 500;
  std::size_t losses = 500;
  std::size_t points = 512;
  std::size_t bytes = 512 << 10;
};

class JobHistory final {
 public:
  // What is new in the status is to be written.
  void See(const api::TrainingJobStatus& status, base::WallTime now);
  // Something happened that is not progress alone.
  bool HasNews() const { return news_; }
  bool HasEntries() const { return !fresh_.empty(); }

  // A JSON Merge Patch of what is not written yet; it counts as written until PutBack.
  std::string TakePatch();
  void PutBack();

 private:
  void Add(const std::string& key, std::string line, bool is_news);

  std::map<std::string, std::string> fresh_;
  std::map<std::string, std::string> taken_;
  std::map<std::string, std::size_t> seen_;  // hashes of the status's entries, by key
  std::string last_point_;
  bool news_ = false;
};

// From the whole ConfigMap, as the API server answers a write: a patch that takes the oldest entries
// away where there are more than the bounds; of progress every other point, so that the whole course
// stays. Nothing: there is room.
absl::StatusOr<std::optional<std::string>> MakePrunePatch(std::string_view config_map_json,
                                                          const HistoryBounds& bounds);

}  // namespace muster::kube
