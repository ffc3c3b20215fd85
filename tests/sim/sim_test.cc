// Many schedules of faults, each on one seed, on the shipped membership, session and plan. A
// failing seed is printed with the command that replays it and its full trace:
//
//   MUSTER_SIM_SEED=N sim_test              one seed, traced
//   MUSTER_SIM_SCHEDULES=N sim_test         so many schedules instead of 2000
//   MUSTER_SIM_FIRST=N sim_test             from this seed on
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/sim/schedule.h"

namespace muster::sim {
namespace {

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void Check(std::uint64_t seed, const ScheduleResult& result) {
  for (const std::string& sentence : result.violations) {
    ADD_FAILURE() << "MUSTER_SIM_SEED=" << seed << " " << ::testing::internal::GetArgvs()[0]
                  << "   (" << result.faults << ")\n  " << sentence;
  }
}

TEST(SimTest, EveryScheduleEndsInTheFaultFreeDigest) {
  if (const char* seed = std::getenv("MUSTER_SIM_SEED")) {
    const std::uint64_t one = std::strtoull(seed, nullptr, 10);
    const ScheduleResult result = RunSchedule(one, 3, true);
    std::fprintf(stderr, "%s; %llu events, %.2f s\n", result.faults.c_str(),
                 static_cast<unsigned long long>(result.events), result.seconds);
    Check(one, result);
    return;
  }
  const std::uint64_t first = FromEnvironment("MUSTER_SIM_FIRST", 1);
  const std::uint64_t schedules = FromEnvironment("MUSTER_SIM_SCHEDULES", 2000);
  const std::uint64_t most_failures = FromEnvironment("MUSTER_SIM_FAILURES", 10);
  std::uint64_t events = 0, roll_backs = 0, failed = 0;
  std::uint64_t fewest = ~std::uint64_t{0};
  for (std::uint64_t seed = first; seed < first + schedules && failed < most_failures; ++seed) {
    const ScheduleResult result = RunSchedule(seed, 3, false);
    events += result.events;
    fewest = std::min(fewest, result.events);
    roll_backs += result.roll_backs > 0 ? 1 : 0;
    failed += result.violations.empty() ? 0 : 1;
    Check(seed, result);
  }
  std::printf(
      "%llu schedules, %llu events each on average, %llu at least; %llu went back to a "
      "checkpoint\n",
      static_cast<unsigned long long>(schedules),
      static_cast<unsigned long long>(events / schedules), static_cast<unsigned long long>(fewest),
      static_cast<unsigned long long>(roll_backs));
  EXPECT_GE(fewest, 1000u) << "a schedule with so few events tests little";
}

TEST(SimTest, WithoutFaultsNobodyGoesBack) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const ScheduleResult result = RunSchedule(seed, 0, false);
    Check(seed, result);
    EXPECT_EQ(result.roll_backs, 0);
    EXPECT_LT(result.seconds, 20.0);
  }
}

TEST(SimTest, TheSameSeedIsTheSameSchedule) {
  const ScheduleResult a = RunSchedule(5, 3, false);
  const ScheduleResult b = RunSchedule(5, 3, false);
  EXPECT_EQ(a.events, b.events);
  EXPECT_EQ(a.seconds, b.seconds);
}

}  // namespace
}  // namespace muster::sim
