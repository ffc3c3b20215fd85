// Breakpoints: a worker stops itself (SIGSTOP) when it reaches a phase, so that a fault lands
// there.
//
// Whoever started the process arms them through its standard input, a line each: `break PHASE
// STEP`. PHASE is forward, overlap (a part of the sums is with NCCL and the rest is not computed),
// reduce, commit, checkpoint, rebuild or transfer; it stops at the first arrival in a step >= STEP,
// once. The parent sees the stop (waitpid WUNTRACED) and then does what
// it wants. Thread-safe. Nothing is armed in production: At() is then one relaxed load.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "operator/runtime/log.h"

namespace muster::app {

class Breakpoints {
 public:
  explicit Breakpoints(const runtime::Logger& log) : log_(log) {}

  bool armed() const { return armed_.load(std::memory_order_relaxed) > 0; }
  // Called where a phase is reached; stops the process if that was armed.
  void At(std::string_view phase, base::Step step);
  // One line as read from standard input. InvalidArgument says what is wrong with it.
  absl::Status Arm(std::string_view line);
  // Reads lines from `fd` until it ends or the object is destroyed.
  void ReadFrom(int fd);

 private:
  void ReadLoop(std::stop_token stop, int fd);

  const runtime::Logger& log_;
  std::atomic<int> armed_{0};
  std::mutex mutex_;
  std::map<std::string, base::Step, std::less<>> steps_;  // by phase; guarded by mutex_
  std::jthread reader_;
};

}  // namespace muster::app
