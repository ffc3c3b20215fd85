// steps.jsonl: one line a committed step, beside the checkpoints, written by whoever is rank 0
// then.
//
//   {"step":7,"loss":2.31,"gradNorm":0.8,"clipped":false,"learningRate":0.001,"tokensPerSecond":51000,
//    "members":4,"skipped":false}
//
// Every member remembers what it committed, and whoever receives the state of others gets their lines with
// it: a member that was a step behind has to write that step when it is rank 0 next. A new writer first
// reads where the file ends and goes on from there, so a loss of rank 0 leaves neither a gap nor a second
// line. One thread (the disk lane) writes.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "operator/base/ids.h"
#include "operator/base/status.h"

namespace muster::app {

struct StepLine {
  base::Step step;
  double loss = 0;
  double grad_norm = 0;
  double learning_rate = 0;
  double tokens_per_second = 0;
  std::int32_t members = 0;
  bool clipped = false;
  bool skipped = false;
};

// Numbers in the shortest form that reads back; what is not finite is left out.
std::string ToJson(const StepLine& line);

class StepLines {
 public:
  explicit StepLines(std::string path) : path_(std::move(path)) {}

  // Any thread. At most kRemembered lines are kept, the oldest go first.
  void Remember(const StepLine& line);
  // The newest kSent remembered lines as they stand in a file, for a receiver of the state; any thread.
  std::string Newest() const;
  // What Newest() of another member gave: remembers those that it does not have. What is no line is
  // left out.
  void RememberOf(std::string_view lines);
  // Appends all remembered lines up to `step` that the file does not have yet.
  absl::Status WriteThrough(base::Step step);

 private:
  static constexpr std::size_t kRemembered = 16384;  // some 4 MB
  static constexpr std::size_t kSent = 1024;
  // The step of the file's last whole line, 0 when there is none; cuts a torn last line off.
  absl::StatusOr<base::Step> LastInFile() const;
  bool IsAsLeft() const;
  void Keep(base::Step step, std::string text);  // under mutex_

  const std::string path_;
  mutable std::mutex mutex_;
  std::map<base::Step, std::string> lines_;  // guarded by mutex_
  // Of the disk lane. Another member may have written meanwhile: the file is read again when it is not as
  // long as it was left.
  base::Step written_;
  std::int64_t length_ = -1;  // -1: never looked at, or a write failed
};

}  // namespace muster::app
