// A parent with real processes, which are shell scripts.
#include "worker/parent/parent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "tests/worker/scratch_folder.h"

namespace muster::parent {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

TEST(ReadParentOptionsTest, OneProcessIsNoParent) {
  EXPECT_FALSE(IsParent({"MUSTER_MEMBER=0.0"}));
  EXPECT_FALSE(IsParent({"MUSTER_PROCESSES=1"}));
  EXPECT_TRUE(IsParent({"A=b", "MUSTER_PROCESSES=2"}));
  EXPECT_TRUE(IsParent({"MUSTER_PROCESSES=many"})) << "it is told what is wrong";
}

TEST(ReadParentOptionsTest, WhatIsWrongIsNamed) {
  const auto options = ReadParentOptions({"MUSTER_MEMBER=3.1", "MUSTER_PROCESSES=8"}, "/worker");
  ASSERT_TRUE(options.ok()) << base::Message(options.status());
  EXPECT_EQ(options->config.pod, (base::MemberId{3, 1}));
  EXPECT_EQ(options->config.processes, 8);
  const struct {
    std::vector<std::string> environment;
    std::string said;
  } rows[] = {
      {{"MUSTER_MEMBER=0.0"}, "MUSTER_PROCESSES='' is not a number of processes from 2 to 64"},
      {{"MUSTER_MEMBER=0.0", "MUSTER_PROCESSES=65"},
       "MUSTER_PROCESSES='65' is not a number of processes from 2 to 64"},
      {{"MUSTER_MEMBER=0.0", "MUSTER_PROCESSES=2x"}, "MUSTER_PROCESSES='2x' is not"},
      {{"MUSTER_PROCESSES=2"}, "MUSTER_MEMBER"},
      {{"MUSTER_PROCESSES=2", "MUSTER_MEMBER=7"}, "MUSTER_MEMBER"},
      {{"MUSTER_PROCESSES=2", "MUSTER_MEMBER=0.2147483647"}, "its incarnation is at most 2147482"},
      {{"MUSTER_PROCESSES=2", "MUSTER_MEMBER=2147483647.0"}, "leaves no ids for members"},
      {{"MUSTER_PROCESSES=2", "MUSTER_MEMBER=0.0", "MUSTER_METRICS_PORT=65535"},
       "leaves no port for process 1"},
  };
  for (const auto& row : rows) {
    const auto refused = ReadParentOptions(row.environment, "/worker");
    ASSERT_FALSE(refused.ok()) << row.said;
    EXPECT_THAT(base::Message(refused.status()), testing::HasSubstr(row.said));
  }
}

// A pod 2.1 of two processes: members 4.1000 and 5.1000.
class ParentTest : public testing::Test {
 protected:
  ParentTest() : signals_(*runtime::Signals::Create({SIGTERM, SIGINT, SIGCHLD})) {}
  ~ParentTest() override {
    if (!running_.joinable()) return;
    kill(getpid(), SIGTERM);
    running_.join();
  }

  // Each child runs these lines of shell, after it has written its process id under its own id.
  void Begin(const std::string& lines, base::Duration hello_deadline = kHelloDeadline) {
    const std::string path = scratch_ / "worker";
    std::ofstream(path) << "#!/bin/sh\ntrap 'exit 0' TERM\n"
                           "echo $$ > $OUT/new-$MUSTER_MEMBER\n"
                           "mv $OUT/new-$MUSTER_MEMBER $OUT/$MUSTER_MEMBER\n"
                        << lines << "\nwhile :; do sleep 0.05; done\n";
    chmod(path.c_str(), 0755);
    auto options = ReadParentOptions(
        {"MUSTER_MEMBER=2.1", "MUSTER_PROCESSES=2", "PATH=/usr/bin:/bin", "OUT=" + scratch_.path()},
        path);
    ASSERT_TRUE(options.ok());
    options->config.hello_deadline = hello_deadline;
    parent_ = std::make_unique<Parent>(*std::move(options), log_, *signals_,
                                       [this](const Command& command) { told_.Push(command); });
    running_ = std::jthread([this] { code_ = parent_->Run(); });
  }
  int End() {
    running_.join();
    return code_;
  }
  // The process of that member, once it has said so; 0 after ten seconds.
  pid_t PidOf(const std::string& member) {
    const base::Time until = clock_.Now() + seconds(10);
    while (clock_.Now() < until) {
      pid_t pid = 0;
      if (std::ifstream(scratch_ / member) >> pid) return pid;
      usleep(5000);
    }
    return 0;
  }
  std::optional<Command> NextTold() { return told_.PopUntil(clock_.Now() + seconds(10)); }

  ScratchFolder scratch_;
  const runtime::RealClock clock_;
  const runtime::Logger log_{runtime::Logger::Options{}};
  std::unique_ptr<runtime::Signals> signals_;
  runtime::BoundedQueue<Command> told_{100, runtime::WhenFull::kDropAndCount};
  std::unique_ptr<Parent> parent_;
  std::jthread running_;
  int code_ = -1;
};

TEST_F(ParentTest, ADeadProcessComesAgainAsAnotherAndTheOthersKeepTheirs) {
  Begin("");
  const pid_t first = PidOf("4.1000");
  const pid_t second = PidOf("5.1000");
  ASSERT_GT(first, 0);
  ASSERT_GT(second, 0);
  kill(second, SIGKILL);
  const pid_t third = PidOf("5.1001");
  ASSERT_GT(third, 0);
  EXPECT_EQ(kill(first, 0), 0);
  EXPECT_EQ(NextTold(), Command(MemberEnded{{5, 1000}, std::nullopt, SIGKILL}));
  kill(getpid(), SIGTERM);
  EXPECT_EQ(End(), 0) << "all left in order";
  EXPECT_NE(kill(first, 0), 0);
  EXPECT_NE(kill(third, 0), 0);
}

TEST_F(ParentTest, AnOrderKillsWhomItNamesAndIsAnswered) {
  Begin("");
  const pid_t evicted = PidOf("4.1000");
  ASSERT_GT(PidOf("5.1000"), 0);
  parent_->Order({{{4, 1000}, {0, 0}}});
  EXPECT_EQ(NextTold(), Command(MemberEnded{{4, 1000}, std::nullopt, SIGKILL}));
  EXPECT_EQ(NextTold(), Command(Killed{{4, 1000}}));
  EXPECT_NE(kill(evicted, 0), 0) << "reaped before it was told";
  EXPECT_GT(PidOf("4.1001"), 0);
}

TEST_F(ParentTest, WhoNeverSpeaksIsKilledOnceTheParentIsHeardAndTheOthersStay) {
  // A shell of its own, because not every /bin/sh knows descriptors of two digits.
  Begin(
      R"([ $MUSTER_PROCESS = 0 ] && bash -c "printf h >&$MUSTER_PARENT_FD" && echo 1 > $OUT/spoke)",
      std::chrono::milliseconds(500));
  const pid_t first = PidOf("4.1000");
  const pid_t mute = PidOf("5.1000");
  ASSERT_GT(first, 0);
  ASSERT_GT(mute, 0);
  ASSERT_EQ(PidOf("spoke"), 1);
  usleep(700'000);
  EXPECT_EQ(kill(mute, 0), 0) << "nobody was there to hear it";
  parent_->Reached(true);
  EXPECT_GT(PidOf("5.1001"), 0);
  EXPECT_EQ(NextTold(), Command(MemberEnded{{5, 1000}, std::nullopt, SIGKILL}));
  EXPECT_EQ(kill(first, 0), 0);
}

TEST_F(ParentTest, ACodeByWhichNoOtherWouldFareBetterEndsThePod) {
  Begin("[ $MUSTER_PROCESS = 1 ] && exit 74");
  EXPECT_EQ(End(), 74);
}

}  // namespace
}  // namespace muster::parent
