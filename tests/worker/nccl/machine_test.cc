// The machine by tables: what each event is answered with in each state, and nothing else.
#include "worker/nccl/machine.h"

#include <gtest/gtest.h>

#include "tests/worker/nccl/show.h"

namespace muster::nccl {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Result kOk{};
const Result kGoesOn{Code::kInProgress, ""};
const Result kRemote{Code::kRemoteError, "closed"};

class MachineTest : public testing::Test {
 protected:
  std::string Step(const MachineEvent& event) { return Show(machine_->Step(now_, event)); }

  Install InstallOf(std::uint64_t epoch, std::int32_t number) {
    Install install{{base::Epoch(epoch), number}, {}};
    install.config.id.bytes[0] = static_cast<std::byte>(++ids_);
    return install;
  }
  void Renew() { machine_.emplace(limits_); }
  // Each of these ends with the last event's commands having been looked at by another test.
  void Up() {
    Step(InstallOf(1, 1));
    Step(InitBegun{kGoesOn, true});
    Step(AsyncRead{kOk});
    ASSERT_EQ(Step(FlagRead{false}), "Installed(1.1)");
  }
  void Launch() {
    Up();
    Step(Reduce{7, now_ + seconds(1)});
    ASSERT_EQ(Step(FlagRead{false}), "LaunchGroup");
  }
  void Run() {
    Launch();
    Step(Launched{kGoesOn});
    Step(AsyncRead{kOk});
    ASSERT_EQ(Step(FlagRead{false}), "RecordDone");
    ASSERT_EQ(Step(Recorded{kOk}), "AskEvent");
  }

  Limits limits_;
  std::optional<Machine> machine_{limits_};
  base::Time now_{seconds(100)};
  int ids_ = 0;
};

TEST_F(MachineTest, InstallsReducesAndCommits) {
  EXPECT_EQ(Step(InstallOf(1, 1)), "InitRank(1.1)");
  EXPECT_EQ(Step(InitBegun{kGoesOn, true}), "AskAsync");
  EXPECT_EQ(Step(AsyncRead{kGoesOn}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "WaitUntil(100.001)");
  EXPECT_EQ(Step(Tick{}), "AskAsync");
  EXPECT_EQ(Step(AsyncRead{kOk}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "Installed(1.1)");
  EXPECT_EQ(Step(Reduce{1, now_ + seconds(1)}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "LaunchGroup");
  EXPECT_EQ(Step(Launched{kGoesOn}), "AskAsync");
  EXPECT_EQ(Step(AsyncRead{kGoesOn}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "WaitUntil(100.00005)");
  EXPECT_EQ(Step(Tick{}), "AskAsync");
  EXPECT_EQ(Step(AsyncRead{kOk}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "RecordDone");
  EXPECT_EQ(Step(Recorded{kOk}), "AskEvent");
  EXPECT_EQ(Step(EventRead{EventState::kPending}), "AskAsync");
  EXPECT_EQ(Step(AsyncRead{kOk}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "WaitUntil(100.00005)");
  EXPECT_EQ(Step(Tick{}), "AskEvent");
  EXPECT_EQ(Step(EventRead{EventState::kDone}), "AskAsync");
  EXPECT_EQ(Step(AsyncRead{kOk}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "Committed(1)");
  EXPECT_EQ(Step(Tick{}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "");
}

// A group is launched when the one before it is enqueued, and the event stands behind the last.
TEST_F(MachineTest, SeveralGroupsAreOneReduction) {
  Up();
  EXPECT_EQ(Step(Reduce{7, now_ + seconds(1), false}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "LaunchGroup");
  EXPECT_EQ(Step(Launched{kGoesOn}), "AskAsync");
  EXPECT_EQ(Step(AsyncRead{kGoesOn}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "WaitUntil(100.00005)");
  EXPECT_EQ(Step(Continue{7, false}), "") << "the first is not enqueued";
  Step(Tick{});
  Step(AsyncRead{kOk});
  EXPECT_EQ(Step(FlagRead{false}), "LaunchGroup") << "the second, at once";
  Step(Launched{kGoesOn});
  Step(AsyncRead{kOk});
  EXPECT_EQ(Step(FlagRead{false}), "WaitUntil(100.001)") << "all that was given is enqueued";
  EXPECT_EQ(Step(Tick{}), "AskAsync") << "and is looked after";
  EXPECT_EQ(Step(AsyncRead{kOk}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "WaitUntil(100.001)");
  EXPECT_EQ(Step(Continue{7, true}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "LaunchGroup");
  Step(Launched{kGoesOn});
  Step(AsyncRead{kOk});
  EXPECT_EQ(Step(FlagRead{false}), "RecordDone") << "behind the last group alone";
  EXPECT_EQ(Step(Recorded{kOk}), "AskEvent");
  Step(EventRead{EventState::kDone});
  Step(AsyncRead{kOk});
  EXPECT_EQ(Step(FlagRead{false}), "Committed(7)");
}

TEST_F(MachineTest, WhatFailsBetweenGroupsFailsTheReduction) {
  const auto gather = [&] {
    Renew();
    now_ = base::Time(seconds(100));
    Up();
    Step(Reduce{7, now_ + seconds(1), false});
    Step(FlagRead{false});
    Step(Launched{kGoesOn});
    Step(AsyncRead{kOk});
    ASSERT_EQ(Step(FlagRead{false}), "WaitUntil(100.001)");
  };
  gather();
  Step(Tick{});
  Step(AsyncRead{kRemote});
  EXPECT_EQ(Step(FlagRead{false}), "RaiseFlag Failed(7 UNAVAILABLE) ArmWatchdog(105) AbortComm");
  EXPECT_EQ(Step(Continue{7, true}), "") << "it has failed: nothing is launched";
  gather();
  Step(Tick{});
  Step(AsyncRead{kOk});
  EXPECT_EQ(Step(FlagRead{true}), "RaiseFlag Failed(7 ABORTED) ArmWatchdog(105) AbortComm");
  gather();
  Step(Continue{7, true});
  EXPECT_EQ(Step(FlagRead{true}), "RaiseFlag Failed(7 ABORTED) ArmWatchdog(105) AbortComm")
      << "no group is launched under the flag";
  gather();
  now_ += seconds(1);
  Step(Tick{});
  Step(AsyncRead{kOk});
  EXPECT_EQ(Step(FlagRead{false}), "RaiseFlag Failed(7 UNAVAILABLE) ArmWatchdog(106) AbortComm")
      << "the rest never came";
  gather();
  EXPECT_EQ(Step(Close{}), "RaiseFlag Failed(7 ABORTED) ArmWatchdog(105) AbortComm");
  gather();
  EXPECT_EQ(Step(Continue{6, true}), "") << "of another reduction";
}

TEST_F(MachineTest, AbortsInOrderThenIsQuiet) {
  Run();
  Step(EventRead{EventState::kDone});
  Step(AsyncRead{kOk});
  EXPECT_EQ(Step(FlagRead{true}), "RaiseFlag Failed(7 ABORTED) ArmWatchdog(105) AbortComm");
  EXPECT_EQ(Step(Reduce{8, now_ + seconds(1)}), "Failed(8 ABORTED)");
  EXPECT_EQ(Step(InstallOf(2, 1)), "InstallFailed(2.1 FAILED_PRECONDITION)");
  EXPECT_EQ(Step(Tick{}), "");
  EXPECT_EQ(Step(AbortDone{kOk}), "Synchronise");
  EXPECT_EQ(Step(Synchronised{kOk}), "DisarmWatchdog Quiet(OK)");
  EXPECT_EQ(Step(InstallOf(2, 1)), "InitRank(2.1)");
}

TEST_F(MachineTest, ADoneEventIsNoSumWhileTheAsynchronousErrorIsNotSuccess) {
  Run();
  Step(EventRead{EventState::kDone});
  Step(AsyncRead{kGoesOn});
  EXPECT_EQ(Step(FlagRead{false}), "WaitUntil(100.00005)");
  Step(Tick{});
  Step(EventRead{EventState::kDone});
  Step(AsyncRead{kRemote});
  EXPECT_EQ(Step(FlagRead{false}), "RaiseFlag Failed(7 UNAVAILABLE) ArmWatchdog(105) AbortComm");
}

TEST_F(MachineTest, AnEventOfTheRoundBeforeDoesNotCount) {
  Run();
  Step(EventRead{EventState::kDone});
  Step(AsyncRead{kGoesOn});
  Step(FlagRead{false});
  Step(Tick{});
  Step(EventRead{EventState::kPending});
  Step(AsyncRead{kOk});
  EXPECT_EQ(Step(FlagRead{false}), "WaitUntil(100.00005)");
}

TEST_F(MachineTest, EveryPhaseHasADeadline) {
  Step(InstallOf(1, 1));
  now_ += limits_.init;
  Step(InitBegun{kGoesOn, true});
  Step(AsyncRead{kGoesOn});
  EXPECT_EQ(Step(FlagRead{false}),
            "RaiseFlag InstallFailed(1.1 UNAVAILABLE) ArmWatchdog(120) AbortComm");
  Step(AbortDone{kOk});
  Step(Synchronised{kOk});

  for (const bool enqueued : {false, true}) {
    SCOPED_TRACE(enqueued);
    Renew();
    now_ = base::Time(seconds(100));
    enqueued ? Run() : Launch();
    now_ += seconds(1);
    if (enqueued) Step(EventRead{EventState::kPending});
    if (!enqueued) Step(Launched{kGoesOn});
    Step(AsyncRead{enqueued ? kOk : kGoesOn});
    EXPECT_EQ(Step(FlagRead{false}), "RaiseFlag Failed(7 UNAVAILABLE) ArmWatchdog(106) AbortComm");
  }
}

TEST_F(MachineTest, AWaitDoesNotPassTheDeadline) {
  Run();
  now_ += seconds(1) - std::chrono::microseconds(1);
  Step(EventRead{EventState::kPending});
  Step(AsyncRead{kOk});
  EXPECT_EQ(Step(FlagRead{false}), "WaitUntil(101)");
}

TEST_F(MachineTest, NothingIsLaunchedUnderTheFlag) {
  Up();
  Step(Reduce{7, now_ + seconds(1)});
  EXPECT_EQ(Step(FlagRead{true}), "RaiseFlag Failed(7 ABORTED) ArmWatchdog(105) AbortComm");
}

TEST_F(MachineTest, NothingIsRecordedUnderTheFlag) {
  Launch();
  Step(Launched{kGoesOn});
  Step(AsyncRead{kOk});
  EXPECT_EQ(Step(FlagRead{true}), "RaiseFlag Failed(7 ABORTED) ArmWatchdog(105) AbortComm");
}

TEST_F(MachineTest, AnInitRefusedAtOnceLeavesNothingToAbort) {
  Step(InstallOf(1, 1));
  EXPECT_EQ(Step(InitBegun{{Code::kSystemError, ""}, false}),
            "RaiseFlag InstallFailed(1.1 UNAVAILABLE) Quiet(OK)");
  Step(InstallOf(1, 2));
  EXPECT_EQ(Step(InitBegun{{Code::kInvalidUsage, ""}, true}),
            "RaiseFlag InstallFailed(1.2 INTERNAL) ArmWatchdog(105) AbortComm");
}

TEST_F(MachineTest, ErrorsOfCallsAreFailures) {
  Launch();
  EXPECT_EQ(Step(Launched{{Code::kInvalidArgument, ""}}),
            "RaiseFlag Failed(7 INTERNAL) ArmWatchdog(105) AbortComm");
  Renew();
  Run();
  Step(EventRead{EventState::kFailed});
  Step(AsyncRead{kOk});
  EXPECT_EQ(Step(FlagRead{false}), "RaiseFlag Failed(7 INTERNAL) ArmWatchdog(105) AbortComm");
}

TEST_F(MachineTest, RefusesAttemptsThatAreNoneOrNotNew) {
  const Install first = InstallOf(2, 1);
  Step(first);
  Step(InitBegun{{Code::kSystemError, ""}, false});
  Install same_id = InstallOf(2, 2);
  same_id.config.id = first.config.id;
  EXPECT_EQ(Step(same_id), "InstallFailed(2.2 INVALID_ARGUMENT)");
  EXPECT_EQ(Step(InstallOf(2, 1)), "InstallFailed(2.1 INVALID_ARGUMENT)");
  EXPECT_EQ(Step(InstallOf(1, 4)), "InstallFailed(1.4 INVALID_ARGUMENT)");
  EXPECT_EQ(Step(InstallOf(3, 0)), "InstallFailed(3.0 RESOURCE_EXHAUSTED)");
  EXPECT_EQ(Step(InstallOf(3, 5)), "InstallFailed(3.5 RESOURCE_EXHAUSTED)");
  EXPECT_EQ(Step(InstallOf(2, 2)), "InitRank(2.2)");
}

TEST_F(MachineTest, AnAbortThatEndsLateOrBreaksTheDeviceIsTheEnd) {
  Run();
  Step(EventRead{EventState::kPending});
  Step(AsyncRead{kRemote});
  Step(FlagRead{false});
  now_ += limits_.abort;
  EXPECT_EQ(Step(AbortDone{kOk}), "Synchronise");
  EXPECT_EQ(Step(Synchronised{kOk}), "Quiet(INTERNAL)");
  EXPECT_EQ(Step(InstallOf(2, 1)), "InstallFailed(2.1 INTERNAL)");

  Renew();
  Run();
  Step(EventRead{EventState::kPending});
  Step(AsyncRead{kRemote});
  Step(FlagRead{false});
  Step(AbortDone{kOk});
  EXPECT_EQ(Step(Synchronised{{Code::kCudaError, ""}}), "DisarmWatchdog Quiet(INTERNAL)");
  EXPECT_EQ(Step(InstallOf(2, 1)), "InstallFailed(2.1 INTERNAL)");
}

TEST_F(MachineTest, ClosesCleanlyAndAbortsWhatCannotBe) {
  EXPECT_EQ(Step(Close{}), "Quiet(OK)");
  Up();
  EXPECT_EQ(Step(Close{}), "FinalizeComm");
  EXPECT_EQ(Step(FinalizeBegun{kGoesOn}), "AskAsync");
  EXPECT_EQ(Step(AsyncRead{kGoesOn}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "WaitUntil(100.001)");
  EXPECT_EQ(Step(Close{}), "") << "who closes twice gets one clean end";
  EXPECT_EQ(Step(Tick{}), "AskAsync");
  EXPECT_EQ(Step(AsyncRead{kOk}), "ReadFlag");
  EXPECT_EQ(Step(FlagRead{false}), "ArmWatchdog(110) DestroyComm");
  EXPECT_EQ(Step(Destroyed{kOk}), "Synchronise");
  EXPECT_EQ(Step(Synchronised{kOk}), "DisarmWatchdog Quiet(OK)");
  Step(InstallOf(2, 1));
  Step(InitBegun{kGoesOn, true});
  Step(AsyncRead{kOk});
  Step(FlagRead{false});
  Step(Close{});
  Step(FinalizeBegun{kGoesOn});
  Step(AsyncRead{kGoesOn});
  now_ += limits_.finalize;
  EXPECT_EQ(Step(FlagRead{false}), "RaiseFlag ArmWatchdog(110) AbortComm");
}

}  // namespace
}  // namespace muster::nccl
