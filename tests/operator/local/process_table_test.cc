// Real children: started clean, watched, never left behind.
#include "operator/local/process_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "tests/operator/local/scratch.h"

namespace muster::local {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::ElementsAre;

class ProcessTableTest : public testing::Test {
 protected:
  ProcessTableTest() : table_(*ProcessTable::Create()) {}

  pid_t Shell(const std::string& script, std::vector<std::string> environment = {}) {
    auto pid = table_->Start({"/bin/sh", {"-c", script}, std::move(environment), log()});
    EXPECT_TRUE(pid.ok()) << base::Message(pid.status());
    return pid.value_or(0);
  }
  std::string log() const { return scratch_.path() + "/log"; }

  // The next event that is a T; fails after five seconds.
  template <typename T>
  T Next() {
    for (auto end = steady_clock::now() + std::chrono::seconds(5); steady_clock::now() < end;) {
      for (const ProcessEvent& event : table_->Poll()) {
        if (const T* wanted = std::get_if<T>(&event)) return *wanted;
      }
      pollfd wait{table_->fd(), POLLIN, 0};
      poll(&wait, 1, 2);
    }
    ADD_FAILURE() << "no such event";
    return {};
  }

  Scratch scratch_;
  std::unique_ptr<ProcessTable> table_;
};

TEST_F(ProcessTableTest, ReportsExitCodes) {
  const pid_t pid = Shell("exit 71");
  const auto exited = Next<ProcessExited>();
  EXPECT_EQ(exited.pid, pid);
  EXPECT_EQ(exited.exit_code, 71);
  EXPECT_EQ(exited.signal, std::nullopt);
  EXPECT_FALSE(table_->Runs(pid));
}

TEST_F(ProcessTableTest, ReportsSignals) {
  const pid_t pid = Shell("exec sleep 60");
  table_->Signal(pid, SIGKILL);
  const auto exited = Next<ProcessExited>();
  EXPECT_EQ(exited.signal, SIGKILL);
  EXPECT_EQ(exited.exit_code, std::nullopt);
}

TEST_F(ProcessTableTest, AnExitWakesWhoeverWaitsForTheDescriptor) {
  const pid_t pid = Shell("exec sleep 60");
  pollfd wait{table_->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&wait, 1, 0), 0);
  table_->Signal(pid, SIGKILL);
  EXPECT_EQ(poll(&wait, 1, 2000), 1);
  Next<ProcessExited>();
  EXPECT_EQ(poll(&wait, 1, 0), 0);
}

TEST_F(ProcessTableTest, ReportsStopsAndContinuations) {
  const pid_t pid = Shell("kill -STOP $$; exit 5");
  EXPECT_EQ(Next<ProcessStopped>().pid, pid);
  table_->Signal(pid, SIGCONT);
  EXPECT_EQ(Next<ProcessExited>().exit_code, 5);
}

TEST_F(ProcessTableTest, PassesOnTheGivenEnvironmentAndNothingElse) {
  setenv("MUSTER_NOT_FOR_CHILDREN", "1", 1);
  ASSERT_TRUE(table_->Start({"/usr/bin/env", {}, {"A=1", "B=two"}, log()}).ok());
  EXPECT_EQ(Next<ProcessExited>().exit_code, 0);
  EXPECT_THAT(LastLines(log(), 50), ElementsAre("A=1", "B=two"));
}

TEST_F(ProcessTableTest, BothOutputsGoToTheLogAndItsEndCanBeRead) {
  Shell("for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done");
  Next<ProcessExited>();
  EXPECT_THAT(LastLines(log(), 3), ElementsAre("err 4", "out 5", "err 5"));
  EXPECT_THAT(LastLines(scratch_.path() + "/absent", 3), ElementsAre());
}

TEST_F(ProcessTableTest, TheEndOfALongLogHasOnlyWholeLines) {
  std::ofstream(log()) << std::string(200 << 10, 'x') << "\nlast but one\nlast\n";
  EXPECT_THAT(LastLines(log(), 50), ElementsAre("last but one", "last"));
}

TEST_F(ProcessTableTest, WritesLinesToItsInput) {
  const pid_t pid = Shell("read line; echo \"got $line\"");
  table_->WriteInput(pid, "break reduce 40\n");
  Next<ProcessExited>();
  EXPECT_THAT(LastLines(log(), 1), ElementsAre("got break reduce 40"));
  table_->WriteInput(pid, "nobody hears this\n");
}

TEST_F(ProcessTableTest, NamesAProgramThatCannotBeRun) {
  auto pid = table_->Start({scratch_.path() + "/absent", {}, {}, log()});
  ASSERT_FALSE(pid.ok());
  EXPECT_THAT(base::Message(pid.status()), testing::HasSubstr("/absent: No such file"));
  EXPECT_EQ(table_->size(), 0u);
}

TEST_F(ProcessTableTest, ASignalReachesWhatTheChildStarted) {
  const pid_t pid = Shell("sleep 60 & echo $!; wait");
  std::vector<std::string> lines;
  while ((lines = LastLines(log(), 1)).empty()) std::this_thread::sleep_for(milliseconds(2));
  const pid_t grandchild = std::stoi(lines[0]);
  table_->Signal(pid, SIGKILL);
  Next<ProcessExited>();
  for (int i = 0; i < 500 && kill(grandchild, 0) == 0; ++i) {
    // A zombie waits for whoever inherited it; it runs no more.
    std::ifstream stat("/proc/" + std::to_string(grandchild) + "/stat");
    std::string number, name, state;
    stat >> number >> name >> state;
    if (state == "Z" || state.empty()) return;
    std::this_thread::sleep_for(milliseconds(2));
  }
  EXPECT_NE(kill(grandchild, 0), 0);
}

// Whoever kills us leaves no process behind, not even a stopped one.
TEST_F(ProcessTableTest, ChildrenDieWithTheirParent) {
  int channel[2];
  ASSERT_EQ(pipe(channel), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    auto table = ProcessTable::Create();
    const auto running = (*table)->Start({"/bin/sleep", {"60"}, {}, "/dev/null"});
    const auto stopped = (*table)->Start({"/bin/sleep", {"60"}, {}, "/dev/null"});
    (*table)->Signal(*stopped, SIGSTOP);
    const pid_t pids[2] = {*running, *stopped};
    if (write(channel[1], pids, sizeof(pids)) != sizeof(pids)) _exit(1);
    pause();
  }
  pid_t pids[2] = {0, 0};
  ASSERT_EQ(read(channel[0], pids, sizeof(pids)), static_cast<ssize_t>(sizeof(pids)));
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  for (pid_t pid : pids) {
    bool gone = false;
    for (int i = 0; i < 500 && !gone; ++i) {
      std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
      std::string number, name, state;
      stat >> number >> name >> state;
      gone = state.empty() || state == "Z";
      if (!gone) std::this_thread::sleep_for(milliseconds(2));
    }
    EXPECT_TRUE(gone) << pid;
  }
  close(channel[0]);
  close(channel[1]);
}

}  // namespace
}  // namespace muster::local
