// The watchdog: once for each arming, at the earliest deadline, and not when it was disarmed.
#include "worker/nccl/watchdog.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "tests/worker/nccl/cluster.h"
#include "worker/comm/socket.h"

namespace muster::nccl {
namespace {

using std::chrono::milliseconds;

TEST(WatchdogTest, BarksOnceAtTheEarliestDeadline) {
  std::atomic<int> early{0};
  std::atomic<int> late{0};
  Watchdog dog([&](const std::string& s) { ++(s == "early" ? early : late); });
  dog.Arm(comm::Now() + kLong, "late");
  dog.Arm(comm::Now() + milliseconds(10), "early");
  dog.Arm(comm::Now() + kLong, "late");
  EXPECT_TRUE(Eventually([&] { return early == 1; }));
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(early, 1);
  EXPECT_EQ(late, 0);
}

TEST(WatchdogTest, IsStillAfterDisarm) {
  std::atomic<int> barks{0};
  Watchdog dog([&](const std::string&) { ++barks; });
  dog.Arm(comm::Now() + milliseconds(30), "no");
  dog.Disarm();
  std::this_thread::sleep_for(milliseconds(60));
  EXPECT_EQ(barks, 0);
}

}  // namespace
}  // namespace muster::nccl
