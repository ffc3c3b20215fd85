// What the processes of nccl_bench share: a page of memory that was mapped before they were forked.
//
// Thread rule: any process; the fields are atomic, and an id is written before its flag.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "worker/nccl/nccl_api.h"

namespace muster::nccl_bench {

inline constexpr std::size_t kRounds = 64;  // installs of one run
inline constexpr std::size_t kMeetings = 256;

inline double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Board {
  std::array<std::atomic<bool>, kRounds> has_id{};
  std::array<nccl::UniqueId, kRounds> ids{};
  std::array<std::atomic<int>, kMeetings> came{};
  // Of the member that is killed: a sum or an init is in flight; when it was killed, and the others
  // may know it.
  std::atomic<bool> ready{false};
  std::atomic<double> killed{0};

  // False: not within `seconds`.
  template <typename Condition>
  static bool Soon(double seconds, Condition condition) {
    const double until = Seconds() + seconds;
    while (!condition()) {
      if (Seconds() > until) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return true;
  }
  // A barrier of `size` processes; each meeting has a number of its own.
  bool Meet(std::size_t meeting, int size, double seconds) {
    ++came.at(meeting);
    return Soon(seconds, [&] { return came.at(meeting) >= size; });
  }
};

}  // namespace muster::nccl_bench
