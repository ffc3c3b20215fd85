// SIGTERM and SIGINT as values: a thread asks for them, nothing runs inside a signal handler.
//
// Create() blocks the signals for the calling thread and for threads and processes that come from
// it, so it goes first in main, before any thread; a child calls RestoreForChild() between fork and
// exec.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::runtime {

class Signals final {
 public:
  static absl::StatusOr<std::unique_ptr<Signals>> Create(const std::vector<int>& numbers);
  ~Signals();  // closes; the signals stay blocked
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // The next signal's number; nothing when `wait` has passed. Two of one kind that come before the
  // first is taken are one.
  std::optional<int> Wait(base::Duration wait);
  // Readable when Wait() would return at once: for a caller's own poll loop.
  int fd() const { return fd_; }

  // Unblocks every signal. Safe between fork and exec.
  static void RestoreForChild();

 private:
  explicit Signals(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace muster::runtime
