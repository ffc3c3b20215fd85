// Clocks, chance and signals: what the process gets from the machine it runs on.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <set>

#include "gtest/gtest.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/entropy.h"
#include "operator/runtime/signals.h"

namespace muster::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ClockTest, ManualClockMovesOnlyWhenTold) {
  const base::WallTime start(seconds(1000));
  ManualClock clock(start);
  EXPECT_EQ(clock.Now(), base::Time());
  EXPECT_EQ(clock.WallNow(), start);
  clock.Advance(milliseconds(1500));
  EXPECT_EQ(clock.Now(), base::Time(milliseconds(1500)));
  EXPECT_EQ(clock.WallNow(), start + milliseconds(1500));
}

TEST(ClockTest, RealClockGoesForwardAndKnowsTheYear) {
  const RealClock clock;
  const base::Time before = clock.Now();
  EXPECT_LE(before, clock.Now());
  EXPECT_GT(clock.WallNow(), base::WallTime(std::chrono::years(50)));
}

TEST(EntropyTest, TokensAreHexAndDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string token = RandomToken();
    EXPECT_EQ(token.size(), 64u);
    EXPECT_EQ(token.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_TRUE(seen.insert(token).second);
  }
  EXPECT_NE(RandomNumber(), RandomNumber());
}

TEST(SignalsTest, SignalIsAValueAndChildrenGetTheirsBack) {
  auto signals = Signals::Create({SIGTERM, SIGINT});
  ASSERT_TRUE(signals.ok()) << signals.status();
  EXPECT_EQ((*signals)->Wait(milliseconds(0)), std::nullopt);
  const RealClock clock;
  const base::Time start = clock.Now();
  EXPECT_EQ((*signals)->Wait(milliseconds(3)), std::nullopt);
  EXPECT_GE(clock.Now() - start, milliseconds(3));
  kill(getpid(), SIGTERM);
  EXPECT_EQ((*signals)->Wait(seconds(5)), SIGTERM);
  kill(getpid(), SIGINT);
  EXPECT_EQ((*signals)->Wait(seconds(5)), SIGINT);
  EXPECT_EQ((*signals)->Wait(milliseconds(0)), std::nullopt);

  const pid_t child = fork();
  if (child == 0) {
    Signals::RestoreForChild();
    raise(SIGTERM);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the child must die of it, not keep it blocked";
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  EXPECT_FALSE(Signals::Create({4711}).ok());
}

}  // namespace
}  // namespace muster::runtime
