// The parent of a pod's processes: what each end of one means.
#include "worker/parent/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::parent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Commands as words, without the notes.
std::vector<std::string> Words(const Commands& commands) {
  std::vector<std::string> out;
  for (const Command& command : commands) {
    if (const auto* c = std::get_if<Spawn>(&command)) {
      out.push_back("spawn " + std::to_string(c->process) + " as " + base::ToString(c->member));
    } else if (const auto* c = std::get_if<SendTerm>(&command)) {
      out.push_back("term " + std::to_string(c->process));
    } else if (const auto* c = std::get_if<SendKill>(&command)) {
      out.push_back("kill " + std::to_string(c->process));
    } else if (const auto* c = std::get_if<Killed>(&command)) {
      out.push_back("killed " + base::ToString(c->member));
    } else if (const auto* c = std::get_if<MemberEnded>(&command)) {
      out.push_back("ended " + base::ToString(c->member));
    } else if (const auto* c = std::get_if<Exit>(&command)) {
      out.push_back("exit " + std::to_string(c->code));
    }
  }
  return out;
}

std::string Notes(const Commands& commands) {
  std::string out;
  for (const Command& command : commands) {
    if (const auto* note = std::get_if<Note>(&command)) out += note->text + "\n";
  }
  return out;
}

// The second pod of ordinal 2, with two processes.
class MachineTest : public testing::Test {
 protected:
  Commands Do(const Event& event) { return machine_.Step(now_, event); }
  std::vector<std::string> Does(const Event& event) { return Words(Do(event)); }
  std::vector<std::string> After(base::Duration wait) {
    now_ += wait;
    return Does(Tick{});
  }
  static Ended Exits(std::int32_t process, int code) { return {process, code, std::nullopt}; }
  static Ended Dies(std::int32_t process, int signal = 9) {
    return {process, std::nullopt, signal};
  }

  base::Time now_{seconds(100)};
  Machine machine_{{{2, 1}, 2}};
};

TEST_F(MachineTest, StartsAllAndEndsWell) {
  EXPECT_THAT(Does(Start{}), ElementsAre("spawn 0 as 4.1000", "spawn 1 as 5.1000"));
  EXPECT_EQ(machine_.NextDeadline(), std::nullopt);
  EXPECT_THAT(Does(Exits(1, 0)), ElementsAre("ended 5.1000"));
  EXPECT_THAT(Does(Exits(0, 0)), ElementsAre("ended 4.1000", "exit 0"));
  EXPECT_THAT(Does(Terminate{}), IsEmpty());
}

TEST_F(MachineTest, ADeadProcessComesAgainAsANewMemberAndTheOthersStay) {
  Do(Start{});
  now_ += seconds(10);
  const Commands commands = Do(Dies(1));
  EXPECT_THAT(Words(commands), ElementsAre("ended 5.1000", "spawn 1 as 5.1001"));
  EXPECT_THAT(Notes(commands),
              HasSubstr("member 5.1000 was killed by signal 9; a new member takes its place"));
  EXPECT_THAT(commands, testing::Contains(Command{MemberEnded{{5, 1000}, std::nullopt, 9}}));
}

TEST_F(MachineTest, EachDeathInARowWaitsLongerAndALongLifeBreaksTheRow) {
  Do(Start{});
  EXPECT_THAT(Does(Dies(0)), ElementsAre("ended 4.1000", "spawn 0 as 4.1001"));
  EXPECT_THAT(Does(Dies(0)), ElementsAre("ended 4.1001"));
  EXPECT_EQ(machine_.NextDeadline(), now_ + seconds(1));
  EXPECT_THAT(After(milliseconds(999)), IsEmpty());
  EXPECT_THAT(After(milliseconds(1)), ElementsAre("spawn 0 as 4.1002"));
  Do(Dies(0));
  EXPECT_EQ(machine_.NextDeadline(), now_ + seconds(2));
  EXPECT_THAT(After(seconds(2)), ElementsAre("spawn 0 as 4.1003"));
  now_ += kStreakGap;
  EXPECT_THAT(Does(Dies(0)), ElementsAre("ended 4.1003", "spawn 0 as 4.1004"));
}

TEST(RestartBackOffTest, DoublesUpToHalfAMinute) {
  std::vector<std::int64_t> waits;
  for (std::int32_t deaths = 0; deaths < 10; ++deaths) {
    waits.push_back(std::chrono::duration_cast<seconds>(RestartBackOff(deaths)).count());
  }
  EXPECT_THAT(waits, ElementsAre(0, 0, 1, 2, 4, 8, 16, 30, 30, 30));
}

TEST_F(MachineTest, WhoDiesAgainAndAgainEndsThePodWithItsCode) {
  Do(Start{});
  for (std::int32_t i = 1; i < kMostDeathsInRow; ++i) {
    Do(Exits(0, 70));
    now_ += seconds(20);
    Do(Tick{});
  }
  const Commands last = Do(Exits(0, 70));
  EXPECT_THAT(Words(last), ElementsAre("ended 4.1005", "term 1"));
  EXPECT_THAT(Notes(last),
              HasSubstr("member 4.1005 exited with code 70, the 6th time in a row; the "
                        "pod ends with code 70"));
  EXPECT_EQ(machine_.NextDeadline(), now_ + kEndGrace);
  EXPECT_THAT(Does(Exits(1, 0)), ElementsAre("ended 5.1000", "exit 70"));
}

TEST_F(MachineTest, OneOfThoseEndsWithASignalsNumber) {
  Do(Start{});
  for (std::int32_t i = 0; i < kMostDeathsInRow; ++i) {
    Do(Dies(0, 11));
    now_ += seconds(20);
    Do(Tick{});
  }
  EXPECT_THAT(Does(Exits(1, 0)), ElementsAre("ended 5.1000", "exit 139"));
}

TEST_F(MachineTest, CodesByWhichAnotherWouldFareNoBetterEndThePod) {
  for (const int code : {72, 73, 74, 75, 77}) {
    Machine machine({{2, 1}, 2});
    machine.Step(now_, Start{});
    EXPECT_THAT(Words(machine.Step(now_, Exits(1, code))), ElementsAre("ended 5.1000", "term 0"));
    // The first code counts, whatever the others end with.
    EXPECT_THAT(Words(machine.Step(now_, Exits(0, 70))),
                ElementsAre("ended 4.1000", "exit " + std::to_string(code)));
  }
}

TEST_F(MachineTest, WhoDoesNotLeaveAPodThatEndsIsKilled) {
  Do(Start{});
  Do(Exits(0, 74));
  EXPECT_THAT(After(kEndGrace - milliseconds(1)), IsEmpty());
  EXPECT_THAT(After(milliseconds(1)), ElementsAre("kill 1"));
  EXPECT_EQ(machine_.NextDeadline(), std::nullopt);
  EXPECT_THAT(Does(Dies(1)), ElementsAre("ended 5.1000", "exit 74"));
}

TEST_F(MachineTest, WhatIsDueIsDoneAtWhateverEventComes) {
  Do(Start{});
  Do(Exits(0, 74));
  now_ += kEndGrace;
  EXPECT_THAT(Does(KillOrder{{{4, 1000}}}), ElementsAre("killed 4.1000", "kill 1"));
}

TEST_F(MachineTest, OtherCodesAreMadeGood) {
  for (const int code : {1, 70, 71, 76, 127}) {
    Machine machine({{2, 1}, 2});
    machine.Step(now_, Start{});
    EXPECT_THAT(Words(machine.Step(now_, Exits(1, code))),
                ElementsAre("ended 5.1000", "spawn 1 as 5.1001"))
        << code;
  }
}

TEST_F(MachineTest, AFailedJobStartsNobodyAndLetsTheOthersHearItThemselves) {
  Do(Start{});
  Do(Dies(0));
  Do(Dies(0));
  EXPECT_THAT(Does(Exits(1, 78)), ElementsAre("ended 5.1000", "exit 78"));
  Machine machine({{2, 1}, 2});
  machine.Step(now_, Start{});
  EXPECT_THAT(Words(machine.Step(now_, Exits(1, 78))), ElementsAre("ended 5.1000"));
  EXPECT_THAT(Words(machine.Step(now_, Dies(0))), ElementsAre("ended 4.1000", "exit 78"));
}

TEST_F(MachineTest, ATerminatedPodPassesItOnAndStartsNobody) {
  Do(Start{});
  EXPECT_THAT(Does(Terminate{}), ElementsAre("term 0", "term 1"));
  EXPECT_EQ(machine_.NextDeadline(), std::nullopt) << "the kubelet's grace ends it";
  EXPECT_THAT(Does(Exits(0, 0)), ElementsAre("ended 4.1000"));
  EXPECT_THAT(Does(Dies(1, 15)), ElementsAre("ended 5.1000", "exit 143"));
}

TEST_F(MachineTest, ATerminatedPodDoesNotWaitForWhoWasToComeAgain) {
  Do(Start{});
  Do(Dies(0));
  Do(Dies(0));
  EXPECT_THAT(Does(Terminate{}), ElementsAre("term 1"));
  EXPECT_THAT(Does(Exits(1, 0)), ElementsAre("ended 5.1000", "exit 0"));
}

TEST_F(MachineTest, WhoSaysNothingWhileItsParentIsHeardIsKilledAndMadeGood) {
  Do(Start{});
  now_ += std::chrono::hours(1);
  EXPECT_EQ(machine_.NextDeadline(), std::nullopt) << "nobody is there to hear it";
  Do(Reachable{true});
  EXPECT_EQ(machine_.NextDeadline(), now_ + kHelloDeadline);
  Do(Spoke{{0}});
  EXPECT_THAT(After(kHelloDeadline - milliseconds(1)), IsEmpty());
  now_ += milliseconds(1);
  const Commands commands = Do(Tick{});
  EXPECT_THAT(Words(commands), ElementsAre("kill 1"));
  EXPECT_EQ(
      Notes(commands),
      "member 5.1000 has not said Hello to the coordinator within 60 s, and the coordinator is "
      "there; it is killed\n");
  EXPECT_THAT(After(kHelloDeadline), IsEmpty()) << "it is killed once";
  EXPECT_THAT(Does(Dies(1)), ElementsAre("ended 5.1000", "spawn 1 as 5.1001"));
  EXPECT_EQ(machine_.NextDeadline(), now_ + kHelloDeadline);
  Do(Spoke{{1}});
  EXPECT_EQ(machine_.NextDeadline(), std::nullopt);
}

TEST_F(MachineTest, SilenceIsCountedWhileTheParentIsHeardAndThePodGoesOn) {
  Do(Start{});
  Do(Reachable{true});
  now_ += kHelloDeadline - milliseconds(1);
  Do(Reachable{false});
  EXPECT_EQ(machine_.NextDeadline(), std::nullopt);
  EXPECT_THAT(After(kHelloDeadline), IsEmpty());
  Do(Reachable{true});
  now_ += seconds(1);
  Do(Reachable{true});  // told twice
  EXPECT_EQ(machine_.NextDeadline(), now_ - seconds(1) + kHelloDeadline);
  Do(Terminate{});
  EXPECT_EQ(machine_.NextDeadline(), std::nullopt) << "the kubelet's grace ends it";
  EXPECT_THAT(After(kHelloDeadline), IsEmpty());
}

TEST_F(MachineTest, OneThatNeverSpeaksEndsThePodAtLast) {
  Do(Start{});
  Do(Reachable{true});
  Do(Spoke{{0}});
  for (std::int32_t i = 1; i < kMostDeathsInRow; ++i) {
    EXPECT_THAT(After(kHelloDeadline), ElementsAre("kill 1"));
    Do(Dies(1));
    After(seconds(20));
  }
  EXPECT_THAT(After(kHelloDeadline), ElementsAre("kill 1"));
  EXPECT_THAT(Does(Dies(1)), ElementsAre("ended 5.1005", "term 0"));
  EXPECT_THAT(Does(Exits(0, 0)), ElementsAre("ended 4.1000", "exit 137"));
}

TEST_F(MachineTest, KillsWhomTheCoordinatorEvictedAndSaysWhenItIsDone) {
  Do(Start{});
  EXPECT_THAT(Does(KillOrder{{{5, 1000}, {0, 0}}}), ElementsAre("kill 1"));
  EXPECT_THAT(Does(KillOrder{{{5, 1000}}}), IsEmpty()) << "told again, killed once";
  EXPECT_THAT(Does(Dies(1)), ElementsAre("ended 5.1000", "killed 5.1000", "spawn 1 as 5.1001"));
  // Once it does not run the answer comes at once, and its successor is left alone.
  EXPECT_THAT(Does(KillOrder{{{5, 1000}}}), ElementsAre("killed 5.1000"));
  EXPECT_THAT(Does(KillOrder{{{5, 999}, {5, 2000}}}), IsEmpty()) << "of other pods";
}

TEST_F(MachineTest, WhoCannotBeStartedIsTriedAgain) {
  Do(Start{});
  Commands commands = Do(CannotStart{0, "fork: out of processes"});
  EXPECT_THAT(Words(commands), ElementsAre("ended 4.1000", "spawn 0 as 4.1001"));
  EXPECT_THAT(Notes(commands), HasSubstr("could not be started: fork: out of processes"));
  Do(Terminate{});
  EXPECT_THAT(Does(CannotStart{0, "fork"}), ElementsAre("ended 4.1001"));
  EXPECT_THAT(Does(Exits(1, 0)), ElementsAre("ended 5.1000", "exit 0"));
}

TEST(MachineLivesTest, APodWhoseIdsAreUsedUpEnds) {
  Machine machine({{0, 0}, 2});
  base::Time now;
  machine.Step(now, Start{});
  for (std::int32_t life = 0; life < base::kPodLife - 1; ++life) {
    now += kStreakGap;
    const Commands commands = machine.Step(now, Ended{0, std::nullopt, 9});
    ASSERT_THAT(Words(commands), testing::Contains("spawn 0 as 0." + std::to_string(life + 1)));
  }
  now += kStreakGap;
  const Commands last = machine.Step(now, Ended{0, std::nullopt, 9});
  EXPECT_THAT(Words(last), ElementsAre("ended 0.998", "term 1"));
  EXPECT_THAT(Notes(last), HasSubstr("there is no id left for another"));
}

}  // namespace
}  // namespace muster::parent
