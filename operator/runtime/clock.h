// What time it is, as a seam: pure code gets `now` as an argument, its shell asks one of these.
//
// RealClock's Time counts as std::chrono::steady_clock does, so a deadline made from it may be
// waited for (Condition::WaitUntil, BoundedQueue::PopUntil). All clocks are safe from every thread.
#pragma once

#include <atomic>

#include "operator/base/time.h"

namespace muster::runtime {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual base::Time Now() const = 0;
  virtual base::WallTime WallNow() const = 0;
};

class RealClock final : public Clock {
 public:
  base::Time Now() const override;
  base::WallTime WallNow() const override;
};

// Stands still until it is told to move.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(base::WallTime wall_start = {});
  base::Time Now() const override;
  base::WallTime WallNow() const override;
  void Advance(base::Duration by);

 private:
  const base::WallTime wall_start_;
  std::atomic<base::Duration::rep> elapsed_{0};
};

}  // namespace muster::runtime
