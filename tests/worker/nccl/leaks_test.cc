// The leak gauge: when a process had better start again, and what /proc says of it.
#include "worker/nccl/leaks.h"

#include <gtest/gtest.h>

#include <fstream>

namespace muster::nccl {
namespace {

TEST(LeaksTest, DecidesByThresholdsAndSaysWhy) {
  const LeakLimits limits{10, 5, 3, 2, 1000};
  const Usage first{100, 20, 7000};
  struct Row {
    Usage now;
    Rebuilds rebuilds;
    std::string reason;  // empty: go on
  };
  const Row rows[] = {
      {{100, 20, 7000}, {0, 0}, ""},
      {{50, 1, 7000}, {0, 0}, ""},
      {{110, 25, 8000}, {3, 2}, ""},
      {{110, 25, 0}, {3, 2}, ""},
      {{111, 20, 7000}, {0, 0}, "open files grew from 100 to 111, by more than 10"},
      {{100, 26, 7000}, {0, 0}, "threads grew from 20 to 26, by more than 5"},
      {{100, 20, 8001}, {0, 0}, "bytes of device memory grew from 7000 to 8001, by more than 1000"},
      {{100, 20, 7000}, {4, 0}, "4 inits failed in this process, more than 3"},
      {{100, 20, 7000},
       {0, 3},
       "3 unique ids of this process were never used to the end, more than 2"},
  };
  for (const Row& row : rows) {
    const auto decision = DecideOnLeaks(first, row.now, row.rebuilds, limits);
    EXPECT_EQ(decision.start_again, !row.reason.empty());
    EXPECT_EQ(decision.reason,
              row.reason.empty() ? "what rebuilding left behind is within its limits" : row.reason);
  }
}

TEST(LeaksTest, DeviceMemoryThatWasNotReadDecidesNothing) {
  EXPECT_FALSE(DecideOnLeaks({1, 1, 0}, {1, 1, 1 << 20}, {}, {10, 5, 3, 2, 1000}).start_again);
}

TEST(LeaksTest, CountsWhatThisProcessHas) {
  const auto before = ReadUsage();
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_GE(before->threads, 1);
  std::ifstream a("/proc/self/stat");
  std::ifstream b("/proc/self/stat");
  const auto after = ReadUsage();
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->fds, before->fds + 2);
}

TEST(LeaksTest, SaysWhatItCannotRead) {
  const auto usage = ReadUsage("/nonexistent");
  ASSERT_FALSE(usage.ok());
  EXPECT_EQ(base::Message(usage.status()),
            "cannot list /nonexistent/fd: No such file or directory");
}

}  // namespace
}  // namespace muster::nccl
