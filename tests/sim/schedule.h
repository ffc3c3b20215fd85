// One schedule: a job of 30 steps with 2 to 7 members and three faults, all from one seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace muster::sim {

struct ScheduleResult {
  std::vector<std::string> violations;  // empty: all held
  std::uint64_t events = 0;
  std::int64_t roll_backs = 0;
  double seconds = 0;  // simulated
  std::string faults;  // in words
};

ScheduleResult RunSchedule(std::uint64_t seed, std::int32_t faults, bool tracing);

}  // namespace muster::sim
