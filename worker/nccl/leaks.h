// What rebuilt communicators leave behind in a process, and when it had better start again.
//
// A failed init frees neither its sockets nor its structure, and an id whose init never completes
// keeps a thread and a listening socket. Nothing can take them back but the end of the process, so a
// member above a threshold leaves the view and comes back as a new one. Values; the decision is pure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "operator/base/status.h"

namespace muster::nccl {

struct Usage {
  std::int64_t fds = 0;
  std::int64_t threads = 0;
  std::int64_t device_bytes = 0;  // taken of the device's memory; 0: not known
  friend bool operator==(const Usage&, const Usage&) = default;
};

struct Rebuilds {
  std::int64_t failed_inits = 0;
  std::int64_t unused_ids = 0;  // minted here, and no init of ours with it came to an end
  friend bool operator==(const Rebuilds&, const Rebuilds&) = default;
};

// No measured figure stands behind these: each is far above what one communicator is read to need,
// and far below the limit of 1,024 descriptors that many systems begin with.
struct LeakLimits {
  std::int64_t more_fds = 400;
  std::int64_t more_threads = 200;
  std::int64_t failed_inits = 40;
  std::int64_t unused_ids = 40;
  // Twice what is counted for the driver's context and the libraries (worker/device/memory.h).
  std::int64_t more_device_bytes = std::int64_t{2} << 30;
};

struct LeakDecision {
  bool start_again = false;
  std::string reason;  // a sentence, whatever was decided
};

// `first` was read when the first communicator was up.
LeakDecision DecideOnLeaks(const Usage& first, const Usage& now, const Rebuilds& rebuilds,
                           const LeakLimits& limits);

// Of this process, with the descriptor that reading itself opens. `root` is /proc/self except in tests.
absl::StatusOr<Usage> ReadUsage(const std::filesystem::path& root = "/proc/self");

}  // namespace muster::nccl
