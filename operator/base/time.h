// Time as a value: pure code receives `now` and never asks for it.
//
// A Time counts from an arbitrary origin of one process (a monotonic clock in production, zero in a
// simulation); two processes' Times cannot be compared. Wall-clock instants cross borders as
// WallTime.
#pragma once

#include <chrono>
#include <cstdint>

namespace muster::base {

using Duration = std::chrono::nanoseconds;

// A clock without now(): the tag keeps a Time apart from every real clock's time_point.
struct MonotonicTag {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicTag, Duration>;
  static constexpr bool is_steady = true;
};
using Time = MonotonicTag::time_point;

struct WallTag {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<WallTag, Duration>;
  static constexpr bool is_steady = false;
};
// Nanoseconds since the Unix epoch, UTC.
using WallTime = WallTag::time_point;

constexpr double ToSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }
constexpr Duration FromSeconds(double s) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(s));
}

}  // namespace muster::base
