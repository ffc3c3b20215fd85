#include "operator/runtime/clock.h"

#include <chrono>

namespace muster::runtime {

base::Time RealClock::Now() const {
  return base::Time(std::chrono::steady_clock::now().time_since_epoch());
}

base::WallTime RealClock::WallNow() const {
  return base::WallTime(std::chrono::system_clock::now().time_since_epoch());
}

ManualClock::ManualClock(base::WallTime wall_start) : wall_start_(wall_start) {}

base::Time ManualClock::Now() const { return base::Time(base::Duration(elapsed_.load())); }

base::WallTime ManualClock::WallNow() const {
  return wall_start_ + base::Duration(elapsed_.load());
}

void ManualClock::Advance(base::Duration by) { elapsed_.fetch_add(by.count()); }

}  // namespace muster::runtime
