#include "worker/app/breakpoints.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace muster::app {
namespace {

TEST(BreakpointsTest, RefusesWhatIsNotABreakpoint) {
  const runtime::Logger log({});
  Breakpoints breakpoints(log);
  for (const char* line : {"", "break", "break forward", "break forward x", "break nowhere 3",
                           "stop forward 3", "break forward 3 4", "break forward -1"}) {
    const auto status = breakpoints.Arm(line);
    EXPECT_FALSE(status.ok()) << line;
    EXPECT_NE(base::Message(status).find("forward, overlap, reduce, commit"), std::string::npos);
  }
  EXPECT_TRUE(breakpoints.Arm("break transfer 3").ok());
}

TEST(BreakpointsTest, StopsTheProcessOnceInThePhaseAtOrAfterTheStep) {
  const pid_t child = fork();
  if (child == 0) {
    const runtime::Logger log({});
    Breakpoints breakpoints(log);
    if (!breakpoints.Arm("break reduce 5").ok()) _exit(9);
    breakpoints.At("reduce", base::Step(4));   // too early
    breakpoints.At("forward", base::Step(5));  // another phase
    breakpoints.At("reduce", base::Step(6));   // here
    breakpoints.At("reduce", base::Step(7));   // only once
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WSTOPSIG(status), SIGSTOP);
  kill(child, SIGCONT);
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace muster::app
