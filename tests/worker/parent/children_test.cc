// Real processes: started, signalled, reaped, and never left behind.
#include "worker/parent/children.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>

#include "operator/runtime/clock.h"
#include "operator/runtime/signals.h"
#include "tests/worker/scratch_folder.h"

namespace muster::parent {
namespace {

using std::chrono::seconds;

class ChildrenTest : public testing::Test {
 protected:
  ChildrenTest() : signals_(*runtime::Signals::Create({SIGCHLD})) {}

  std::string Path(const std::string& name) const { return scratch_ / name; }
  // A program of these lines of shell.
  std::string Script(const std::string& lines) {
    const std::string path = Path("script");
    std::ofstream(path) << "#!/bin/sh\n" << lines << "\n";
    chmod(path.c_str(), 0755);
    return path;
  }
  // What has ended once `count` have; at most ten seconds.
  std::vector<Ended> Await(Children& children, std::size_t count) {
    const runtime::RealClock clock;
    const base::Time until = clock.Now() + seconds(10);
    std::vector<Ended> all;
    while (all.size() < count && clock.Now() < until) {
      signals_->Wait(std::chrono::milliseconds(100));
      for (const Ended& ended : children.Reap()) all.push_back(ended);
    }
    return all;
  }
  std::string AwaitText(const std::string& name) {
    const runtime::RealClock clock;
    const base::Time until = clock.Now() + seconds(10);
    while (clock.Now() < until) {
      std::ifstream file(Path(name));
      std::string line;
      if (std::getline(file, line) && !file.eof()) return line;
      usleep(5000);
    }
    return "";
  }
  // An orphan is reaped by whoever is the machine's first process, if that one does such things.
  static bool HasDied(pid_t pid) {
    if (kill(pid, 0) != 0 && errno == ESRCH) return true;
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const std::size_t name_end = text.rfind(')');
    return name_end != std::string::npos && text.substr(name_end).starts_with(") Z");
  }
  static bool IsGone(pid_t pid) {
    const runtime::RealClock clock;
    const base::Time until = clock.Now() + seconds(10);
    while (clock.Now() < until) {
      if (HasDied(pid)) return true;
      usleep(5000);
    }
    return false;
  }

  ScratchFolder scratch_;
  std::unique_ptr<runtime::Signals> signals_;
};

TEST_F(ChildrenTest, TellsHowEachEnded) {
  Children children(Script("[ $WHAT = exit ] && exit 74; kill -9 $$"));
  ASSERT_TRUE(children.Start(0, {"WHAT=exit"}).ok());
  ASSERT_TRUE(children.Start(3, {"WHAT=die"}).ok());
  const std::vector<Ended> ended = Await(children, 2);
  ASSERT_EQ(ended.size(), 2u);
  for (const Ended& end : ended) {
    EXPECT_EQ(end.exit_code, end.process == 0 ? std::optional(74) : std::nullopt);
    EXPECT_EQ(end.signal, end.process == 3 ? std::optional(9) : std::nullopt);
    EXPECT_EQ(children.PidOf(end.process), 0);
  }
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a zombie is left";
}

TEST_F(ChildrenTest, AProgramThatCannotRunIsAnErrorAndNoChild) {
  Children children(Path("nothing"));
  const absl::Status status = children.Start(0, {});
  EXPECT_EQ(base::Message(status),
            "cannot run " + Path("nothing") + ": No such file or directory (errno 2)");
  EXPECT_EQ(children.PidOf(0), 0);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a zombie is left";
}

TEST_F(ChildrenTest, ASignalReachesTheChildWhichHasNoneOfOursBlocked) {
  Children children(Script("trap 'exit 7' TERM; echo ready > $OUT; while :; do sleep 0.05; done"));
  ASSERT_TRUE(children.Start(1, {"OUT=" + Path("out"), "PATH=/usr/bin:/bin"}).ok());
  ASSERT_EQ(AwaitText("out"), "ready");
  children.Signal(0, SIGKILL);  // there is none of this number
  children.Signal(1, SIGTERM);
  const std::vector<Ended> ended = Await(children, 1);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].exit_code, 7);
}

TEST_F(ChildrenTest, AChildHasNoInputAndOurGroup) {
  Children children(Script("read line; echo \"$? $(ps -o pgid= -p $$ | tr -d ' ')\" > $OUT"));
  ASSERT_TRUE(children.Start(0, {"OUT=" + Path("out"), "PATH=/usr/bin:/bin"}).ok());
  EXPECT_EQ(AwaitText("out"), "1 " + std::to_string(getpgrp())) << "the end of a file, at once";
  EXPECT_EQ(Await(children, 1).size(), 1u);
}

TEST_F(ChildrenTest, WhoSpeaksIsHeardOnceAndWhoOnlyEndsIsNot) {
  Children children(
      Script("[ $WHAT = speak ] && bash -c \"printf h >&$MUSTER_PARENT_FD\"; echo done > $OUT; "
             "exec sleep 600"));
  const std::string path = "PATH=/usr/bin:/bin";
  ASSERT_TRUE(children.Start(1, {"WHAT=speak", "OUT=" + Path("one"), path}).ok());
  ASSERT_TRUE(children.Start(2, {"WHAT=nothing", "OUT=" + Path("two"), path}).ok());
  ASSERT_EQ(AwaitText("one"), "done");
  ASSERT_EQ(AwaitText("two"), "done");
  EXPECT_EQ(children.Spoken(), (std::vector<std::int32_t>{1}));
  EXPECT_EQ(children.Spoken(), std::vector<std::int32_t>());
  children.Signal(2, SIGKILL);
  EXPECT_EQ(Await(children, 1).size(), 1u);
  EXPECT_EQ(children.Spoken(), std::vector<std::int32_t>());
}

TEST_F(ChildrenTest, NobodyOutlivesTheirOwner) {
  pid_t pid = 0;
  {
    Children children(Script("exec sleep 600"));
    ASSERT_TRUE(children.Start(0, {"PATH=/usr/bin:/bin"}).ok());
    pid = children.PidOf(0);
    ASSERT_GT(pid, 0);
  }
  EXPECT_TRUE(IsGone(pid));
}

TEST_F(ChildrenTest, AParentThatIsKilledTakesThemWithIt) {
  const std::string script = Script("echo $$ > $OUT; exec sleep 600");
  const pid_t parent = fork();
  if (parent == 0) {
    Children children(script);
    const bool started = children.Start(0, {"OUT=" + Path("out"), "PATH=/usr/bin:/bin"}).ok();
    if (!started) _exit(1);
    for (;;) pause();
  }
  const std::string pid = AwaitText("out");
  ASSERT_FALSE(pid.empty());
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  EXPECT_TRUE(IsGone(std::stoi(pid)));
}

}  // namespace
}  // namespace muster::parent
