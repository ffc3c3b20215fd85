// Events folded into a state, and the state drawn: lines in, lines out, no terminal.
#include <gtest/gtest.h>

#include <sstream>

#include "operator/cli/live_view.h"
#include "operator/cli/plain_lines.h"
#include "operator/cli/run_state.h"
#include "operator/cli/screen.h"
#include "operator/cli/terminal.h"
#include "operator/cli/text.h"
#include "operator/runtime/clock.h"

namespace muster::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

base::Time At(int ms) { return base::Time(milliseconds(ms)); }

local::StepCommitted Step(int step, double loss) {
  local::StepCommitted commit;
  commit.step = base::Step(step);
  commit.loss = loss;
  commit.tokens = 8192;
  commit.members = 2;
  return commit;
}

RunState Trained() {
  api::TrainingJob job;
  job.name = "licences";
  job.spec.training.steps = 100;
  RunState state = MakeRunState(job, At(0));
  local::Live live;
  live.epoch = base::Epoch(3);
  live.size = 2;
  live.desired = 3;
  live.time_state = "productive";
  live.baseline_loss = 2.1;
  live.members = {
      {{0, 0},
       11,
       "node-0",
       true,
       true,
       true,
       false,
       api::MemberPhase::kForward,
       base::Step(4),
       base::Step(3)},
      {{2, 1},
       12,
       "node-0",
       true,
       true,
       true,
       false,
       api::MemberPhase::kReducing,
       base::Step(4),
       base::Step(3)},
      {{1, 1}, 13, "node-0", false, true, true, false, api::MemberPhase::kWarm, {}, {}}};
  OnEvent(live, At(900), state);
  for (int step = 1; step <= 3; ++step) OnEvent(Step(step, 5.0 / step), At(1000 * step), state);
  local::Rescaled rescaled;
  rescaled.rescale = {base::Epoch(3), {}, "Exited", 3, 2, .01, .002, .03, 0, .05, .092, 0, 4};
  OnEvent(rescaled, At(3100), state);
  return state;
}

TEST(RunStateTest, MeasuresSpeedAndTimeLeft) {
  const RunState state = Trained();
  EXPECT_EQ(state.step, 3);
  EXPECT_EQ(state.first_step, 0);
  EXPECT_DOUBLE_EQ(state.steps_per_second, 1.0);
  EXPECT_DOUBLE_EQ(state.tokens_per_second, 8192);
  EXPECT_DOUBLE_EQ(*SecondsLeft(state), 97);
  EXPECT_EQ(SecondsLeft(RunState()), std::nullopt);
  RunState done = state;
  done.step = done.steps;
  EXPECT_EQ(SecondsLeft(done), std::nullopt);
}

TEST(RunStateTest, GoesBackWithARollBack) {
  RunState state = Trained();
  OnEvent(local::RolledBack{base::Step(1), "DigestMismatch"}, At(4000), state);
  EXPECT_EQ(state.step, 1);
  EXPECT_EQ(state.recent.back(), "went back to step 1: DigestMismatch");
}

TEST(LiveViewTest, ShowsWhoDoesWhatAndTheLastChange) {
  const std::vector<std::string> lines = LiveLines(Trained(), 120, 40);
  const std::vector<std::string> expected = {
      "licences  epoch 3  2/3 members  productive",
      Bar(0.03, 40) + "  step 3/100  3.1 s gone, 1m37s left",
      "loss 1.6667  trigram 2.1000  8192 tokens/s",
      "  rank  worker      member  node     pid      doing",
      "     0  worker-0    0.0     node-0   11       computing step 4",
      "     1  worker-2    2.1     node-0   12       reducing step 4",
      "     -  worker-1    1.1     node-0   13       warm, waits for a view",
      "last change (of 1): 3 -> 2 members, Exited, stalled 92 ms",
      "  detect 10 + agree 2 + rebuild 30 + synchronise 0 + recompute 50 ms",
      "  epoch 3: 3 -> 2 members (Exited), stalled 92 ms = detect 10 + agree 2 + rebuild 30 + "
      "synchronise 0 + recompute 50 ms,…",
  };
  EXPECT_EQ(lines, expected);
}

TEST(LiveViewTest, FitsEveryTerminal) {
  RunState state = Trained();
  for (int i = 0; i < 50; ++i) state.live.members.push_back(state.live.members.back());
  for (std::size_t width : {0u, 1u, 10u, 40u, 80u, 200u}) {
    for (std::size_t height : {0u, 1u, 2u, 5u, 12u, 60u}) {
      const std::vector<std::string> lines = LiveLines(state, width, height);
      EXPECT_LE(lines.size(), height);
      for (const std::string& line : lines) EXPECT_LE(Columns(line), width) << line;
    }
  }
}

TEST(LiveViewTest, BarIsInProportion) {
  EXPECT_EQ(Bar(0.5, 4), "██░░");
  EXPECT_EQ(Bar(2, 2), "██");
  EXPECT_EQ(Bar(-1, 2), "░░");
}

TEST(PlainLinesTest, SaysEachEventInASentence) {
  const std::pair<local::LocalEvent, const char*> cases[] = {
      {local::Evicted{{2, 1}, "node-0", "Silent", "no beat for 1 s"},
       "evicted worker-2 (2.1) on node-0: Silent, no beat for 1 s"},
      {local::CheckpointDone{{base::Step(100), base::Epoch(2), "0123456789abcdef", {}}},
       "checkpoint of step 100 committed (0123456789ab)"},
      {local::CheckpointAbandoned{base::Step(5), "no space left", true},
       "checkpoint of step 5 abandoned: no space left (training goes on; make room in the state "
       "directory)"},
      {local::HeldOut{base::Step(50), 2.25, 2.1},
       "step 50: held-out loss 2.2500 nats (trigram 2.1000)"},
      {local::PodStarted{{1, 0}, "p", "node-0", 7, "ScaleUp"},
       "started worker-1 (1.0) on node-0, pid 7: ScaleUp"},
      {local::PodExited{{1, 0}, "p", "node-0", 7, std::nullopt, 9, {}},
       "worker-1 (1.0) on node-0, pid 7, was killed by signal 9"},
      {local::PodExited{{1, 0}, "p", "", 7, 74, std::nullopt, {}},
       "worker-1 (1.0), pid 7, exited with status 74"},
      {local::FaultFired{"--kill worker-1@step=2", "killed worker-1 (1.0, pid 7)"},
       "fault --kill worker-1@step=2: killed worker-1 (1.0, pid 7)"},
      {local::CoordinatorRestarted{8, "killed by signal 9"},
       "coordinator started again, pid 8: killed by signal 9"},
      {local::Note{"plan", "creates worker-1"}, "plan: creates worker-1"},
      {local::Live(), ""},
      {local::StatusChanged(), ""},
      {Step(3, 2), ""},
  };
  for (const auto& [event, line] : cases) EXPECT_EQ(EventLine(event), line);
}

TEST(PlainLinesTest, LastWordsAreOfThoseWhoDiedByThemselves) {
  local::PodExited exited{{1, 0}, "p", "", 7, 74, std::nullopt, {"a", "b"}};
  EXPECT_EQ(LastWords(exited), (std::vector<std::string>{"    | a", "    | b"}));
  exited.exit_code = 71;  // Fenced
  EXPECT_TRUE(LastWords(exited).empty());
  exited.exit_code = std::nullopt;
  exited.signal = 9;
  EXPECT_TRUE(LastWords(exited).empty());
  exited.signal = 11;
  EXPECT_EQ(LastWords(exited).size(), 2u);
}

TEST(ScreenTest, APipeGetsPlainLinesEveryFewSecondsAndEveryEvent) {
  runtime::ManualClock clock;
  std::atomic<bool> draining = false;
  std::ostringstream out;
  api::TrainingJob job;
  job.spec.training.steps = 9;
  Screen screen(ScreenKind::kPlain, out, -1, clock, MakeRunState(job, clock.Now()), draining);
  for (int step = 1; step <= 4; ++step) {
    clock.Advance(seconds(2));
    screen.OnEvent(Step(step, 2));
  }
  screen.OnEvent(local::RolledBack{base::Step(1), ""});
  screen.Close();
  EXPECT_EQ(out.str(),
            "[    2.0 s] step 1/9  loss 2.0000\n"
            "[    8.0 s] step 4/9  loss 2.0000  4096 tokens/s  10 s left\n"
            "[    8.0 s] went back to step 1\n");
}

TEST(ScreenTest, APipeHearsOnceThatTheRunIsStopping) {
  runtime::ManualClock clock;
  std::atomic<bool> draining = true;
  std::ostringstream out;
  Screen screen(ScreenKind::kPlain, out, -1, clock, MakeRunState({}, clock.Now()), draining);
  screen.OnEvent(local::Live());
  screen.OnEvent(local::Live());
  EXPECT_EQ(out.str(),
            "[    0.0 s] stopping: the step is finished and the state committed (Ctrl-C again ends "
            "at once)\n");
}

// Whoever is killed with -9 switches nothing back, so nothing is switched.
TEST(ScreenTest, ATerminalIsPaintedWithoutChangingItsModes) {
  runtime::ManualClock clock;
  std::atomic<bool> draining = true;
  std::ostringstream out;
  {
    Screen screen(ScreenKind::kLive, out, -1, clock, MakeRunState({}, clock.Now()), draining);
    for (int step = 1; step <= 100; ++step) screen.OnEvent(Step(step, 2));
    screen.Close();
  }
  const std::string painted = out.str();
  EXPECT_EQ(painted.find("\x1b[?"), std::string::npos);
  EXPECT_TRUE(painted.ends_with("\x1b[J"));
  EXPECT_NE(painted.find("DRAINING"), std::string::npos);
  // A hundred events in one instant are one picture, and the last one a second.
  EXPECT_NE(painted.find("step 1/1"), std::string::npos);
  EXPECT_EQ(painted.find("step 50/1"), std::string::npos);
  EXPECT_NE(painted.find("step 100/1"), std::string::npos);
}

TEST(TerminalTest, GoesUpByTheRowsThatTheLastPictureTakes) {
  std::ostringstream out;
  Terminal terminal(out, true);
  terminal.Paint({std::string(30, 'a'), "", "bb"}, 80);
  EXPECT_EQ(out.str(), "\r" + std::string(30, 'a') + "\x1b[K\n\x1b[K\nbb\x1b[K\n\x1b[J");
  out.str("");
  terminal.Paint({"c"}, 80);
  EXPECT_EQ(out.str(), "\x1b[3A\rc\x1b[K\n\x1b[J");
  terminal.Paint({std::string(30, 'a'), "", "bb"}, 80);
  out.str("");
  // The window is narrower now: the first line has been wrapped into three rows.
  terminal.Paint({"d"}, 12);
  EXPECT_EQ(out.str(), "\x1b[5A\rd\x1b[K\n\x1b[J");
}

TEST(TerminalTest, WithoutUtf8EveryGlyphIsOneAsciiCharacter) {
  std::ostringstream out;
  Terminal(out, false).Paint({"██░ 5 µs…"}, 80);
  EXPECT_EQ(out.str(), "\r##. 5 ?s~\x1b[K\n\x1b[J");
}

}  // namespace
}  // namespace muster::cli
