// The election's machine, event by event.
#include "operator/kube/elector_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

base::Time At(std::int64_t ms) { return base::Time(milliseconds(ms)); }
base::WallTime Wall(std::int64_t ms) { return base::WallTime(milliseconds(ms)); }

api::Lease Held(const std::string& by, const std::string& version, int transitions = 0) {
  return {by, version, 5, transitions, Wall(0), Wall(0), "u"};
}

// A short spelling of commands: what a reader of a table wants to see.
std::string Spell(const ElectorCommand& command) {
  if (std::holds_alternative<ReadLease>(command)) return "read";
  if (const auto* write = std::get_if<WriteLease>(&command)) {
    const api::Lease& lease = write->lease;
    return "write " + (lease.holder.empty() ? "nobody" : lease.holder) + "@" +
           (lease.resource_version.empty() ? "new" : lease.resource_version) + " t" +
           std::to_string(lease.transitions);
  }
  if (std::holds_alternative<StartLeading>(command)) return "start";
  if (const auto* stop = std::get_if<StopLeading>(&command)) return "stop: " + stop->reason;
  if (const auto* holder = std::get_if<NewHolder>(&command)) return "holder " + holder->identity;
  if (std::holds_alternative<Trouble>(command)) return "trouble";
  return "finished";
}

class ElectorMachineTest : public testing::Test {
 protected:
  static ElectorConfig Config() {
    ElectorConfig config;
    config.identity = "me";
    config.jitter = 0;
    return config;
  }
  std::vector<std::string> Step(std::int64_t ms, const ElectorEvent& event) {
    std::vector<std::string> out;
    for (const auto& command : machine_.Step(At(ms), Wall(ms), event)) {
      if (const auto* write = std::get_if<WriteLease>(&command)) written_ = write->lease;
      out.push_back(Spell(command));
    }
    return out;
  }
  static LeaseRead Read(std::optional<api::Lease> lease) { return {std::move(lease)}; }
  // The last write, stored as `version`.
  LeaseWritten Stored(const std::string& version) {
    written_.resource_version = version;
    return {LeaseWriteOutcome::kOk, written_, ""};
  }
  static LeaseWritten Lost() { return {LeaseWriteOutcome::kUnknown, {}, "no answer"}; }
  static LeaseWritten Refused() { return {LeaseWriteOutcome::kConflict, {}, "409"}; }
  // Leads since 0, with version 1; the next renewal is due at 1000, the right ends at 3000.
  void Lead() {
    Step(0, Waited{});
    Step(0, Read(std::nullopt));
    ASSERT_THAT(Step(0, Stored("1")), ElementsAre("holder me", "start"));
  }
  void Follow(const api::Lease& lease) {
    Step(0, Waited{});
    ASSERT_THAT(Step(0, Read(lease)), ElementsAre("holder " + lease.holder));
  }

  ElectorMachine machine_{Config(), At(0)};
  api::Lease written_;
};

TEST_F(ElectorMachineTest, TakesALeaseThatDoesNotExistAndRenewsItEachSecond) {
  EXPECT_THAT(Step(0, Waited{}), ElementsAre("read"));
  EXPECT_THAT(Step(1, Read(std::nullopt)), ElementsAre("write me@new t0"));
  EXPECT_EQ(written_.duration_seconds, 5);
  EXPECT_EQ(written_.acquire_time, Wall(1));
  EXPECT_FALSE(machine_.MayWrite(At(2)));
  EXPECT_THAT(Step(3, Stored("1")), ElementsAre("holder me", "start"));
  EXPECT_EQ(machine_.RightUntil(), At(3001)) << "counted from the sending, not from the answer";
  EXPECT_EQ(machine_.NextWake(), At(1001));
  EXPECT_THAT(Step(1001, Waited{}), ElementsAre("write me@1 t0"));
  EXPECT_EQ(written_.acquire_time, Wall(1));
  EXPECT_EQ(written_.renew_time, Wall(1001));
  EXPECT_THAT(Step(1010, Stored("2")), IsEmpty());
  EXPECT_EQ(machine_.RightUntil(), At(4001));
}

TEST_F(ElectorMachineTest, AnOutageIsToldOnceAndThenEachHalfMinute) {
  const auto failed = [] { return LeaseRead{base::Unavailable("no route")}; };
  Step(0, Waited{});
  int told = 0;
  for (int s = 0; s < 61; ++s) {
    told += static_cast<int>(Step(1000 * s, failed()).size());
    EXPECT_THAT(Step(1000 * (s + 1), Waited{}), ElementsAre("read"));
  }
  EXPECT_EQ(told, 3) << "at 0, 30 and 60 s";
  EXPECT_THAT(Step(61000, Read(Held("you", "7"))), ElementsAre("holder you"));
  EXPECT_THAT(Step(62000, Waited{}), ElementsAre("read"));
  EXPECT_THAT(Step(62000, failed()), ElementsAre("trouble")) << "another outage";
}

TEST_F(ElectorMachineTest, AFollowerTakesTheLeaseWhenItHasNotChangedForItsDuration) {
  Follow(Held("you", "7", 4));
  for (int s = 1; s < 5; ++s) {
    EXPECT_THAT(Step(1000 * s, Waited{}), ElementsAre("read"));
    EXPECT_THAT(Step(1000 * s, Read(Held("you", "7", 4))), IsEmpty());
  }
  EXPECT_EQ(machine_.NextWake(), At(5000));
  EXPECT_THAT(Step(4999, Waited{}), IsEmpty());
  EXPECT_THAT(Step(5000, Waited{}), ElementsAre("write me@7 t5"));
  EXPECT_THAT(Step(5010, Stored("8")), ElementsAre("holder me", "start"));
  EXPECT_EQ(written_.acquire_time, Wall(5000));
}

TEST_F(ElectorMachineTest, ARenewalSeenBeginsTheWaitAnewWhateverTheRemoteClockSays) {
  Follow(Held("you", "7"));
  Step(1000, Waited{});
  api::Lease renewed = Held("you", "8");
  renewed.renew_time = Wall(-86'400'000);  // its clock is a day behind
  Step(1000, Read(renewed));
  for (int s = 2; s < 6; ++s) {
    EXPECT_THAT(Step(1000 * s, Waited{}), ElementsAre("read")) << s;
    EXPECT_THAT(Step(1000 * s, Read(renewed)), IsEmpty()) << s;
  }
  EXPECT_THAT(Step(6000, Waited{}), ElementsAre("write me@8 t1"));
}

TEST_F(ElectorMachineTest, ALongerDurationInTheLeaseIsRespected) {
  api::Lease lease = Held("you", "7");
  lease.duration_seconds = 15;
  Follow(lease);
  for (int s = 1; s < 15; ++s) {
    EXPECT_THAT(Step(1000 * s, Waited{}), ElementsAre("read")) << s;
    Step(1000 * s, Read(lease));
  }
  EXPECT_THAT(Step(15000, Waited{}), ElementsAre("write me@7 t1"));
}

TEST_F(ElectorMachineTest, AReleasedLeaseIsTakenAtOnce) {
  Follow(Held("you", "7", 2));
  EXPECT_THAT(Step(300, LeaseSeen{Held("", "8", 2)}), ElementsAre("holder ", "write me@8 t3"));
}

TEST_F(ElectorMachineTest, WhoLosesTheRaceReadsAndFollows) {
  Step(0, Waited{});
  EXPECT_THAT(Step(0, Read(Held("", "8"))), ElementsAre("write me@8 t1"));
  EXPECT_THAT(Step(5, Refused()), ElementsAre("trouble", "read"));
  EXPECT_THAT(Step(9, Read(Held("you", "9"))), ElementsAre("holder you"));
  EXPECT_EQ(machine_.NextWake(), At(1009));
}

TEST_F(ElectorMachineTest, TheRightEndsAtTheRenewDeadlineThoughARequestIsUnderWay) {
  Lead();
  EXPECT_THAT(Step(1000, Waited{}), ElementsAre("write me@1 t0"));
  EXPECT_THAT(Step(2500, Lost()), ElementsAre("trouble", "read"));
  EXPECT_EQ(machine_.NextWake(), At(3000));
  EXPECT_TRUE(machine_.MayWrite(At(2999)));
  EXPECT_FALSE(machine_.MayWrite(At(3000))) << "also before the machine is stepped";
  EXPECT_THAT(Step(3000, Waited{}), IsEmpty()) << "nobody else may lead yet";
  EXPECT_FALSE(machine_.MayWrite(At(3000)));
  EXPECT_EQ(machine_.NextWake(), At(5000));
}

TEST_F(ElectorMachineTest, WhoHoldsTheLeaseStillLeadsOnWhenItIsRenewed) {
  Lead();
  Step(1000, Waited{});
  Step(2500, Lost());
  EXPECT_THAT(Step(3100, Read(Held("me", "1"))), ElementsAre("write me@1 t0"));
  EXPECT_FALSE(machine_.MayWrite(At(3100)));
  EXPECT_THAT(Step(3200, Stored("2")), IsEmpty()) << "it has never stopped";
  EXPECT_EQ(machine_.RightUntil(), At(6100));
}

TEST_F(ElectorMachineTest, WhoWaitsStopsWhenAnotherMayLead) {
  Lead();
  Step(1000, Waited{});
  Step(2500, Lost());
  EXPECT_THAT(Step(5000, Waited{}), ElementsAre("stop: the lease was not renewed within 5s"));
  // Its own lease: it may lead again as soon as it can write.
  EXPECT_THAT(Step(5100, Read(Held("me", "1"))), ElementsAre("write me@1 t0"));
  EXPECT_THAT(Step(5200, Stored("2")), ElementsAre("start"));
}

TEST_F(ElectorMachineTest, WhoWaitsAndReadsThatTheLeaseIsNobodysStops) {
  Lead();
  Step(1000, Waited{});
  Step(2500, Lost());
  EXPECT_THAT(Step(3100, Read(Held("", "9"))),
              ElementsAre("holder ", HasSubstr("stop: the lease was given up or deleted"),
                          "write me@9 t1"));
}

TEST_F(ElectorMachineTest, WhoWaitsAndReadsThatTheLeaseIsGoneStops) {
  Lead();
  Step(1000, Waited{});
  Step(2500, Lost());
  EXPECT_THAT(Step(3100, Read(std::nullopt)),
              ElementsAre("holder ", HasSubstr("stop: the lease was given up or deleted")));
}

TEST_F(ElectorMachineTest, ARenewalThatTookTooLongKeepsTheLeaseAndGivesNoRight) {
  Lead();
  EXPECT_THAT(Step(1000, Waited{}), ElementsAre("write me@1 t0"));
  EXPECT_THAT(Step(4000, Stored("2")), ElementsAre("write me@2 t0"));
  EXPECT_FALSE(machine_.MayWrite(At(4000)));
  EXPECT_EQ(machine_.NextWake(), At(6000)) << "5 s after the sending of what was stored";
}

TEST_F(ElectorMachineTest, OneLostAnswerCostsNoLeadership) {
  Lead();
  Step(1000, Waited{});
  EXPECT_THAT(Step(2500, Lost()), ElementsAre("trouble", "read"));
  // The renewal had landed.
  EXPECT_THAT(Step(2510, Read(Held("me", "2"))), ElementsAre("write me@2 t0"));
  EXPECT_THAT(Step(2520, Stored("3")), IsEmpty());
  EXPECT_EQ(machine_.RightUntil(), At(5510));
}

TEST_F(ElectorMachineTest, ARefusedConnectionIsNotTriedInAHotLoop) {
  Lead();
  Step(1000, Waited{});
  EXPECT_THAT(Step(1001, Lost()), ElementsAre("trouble"));
  EXPECT_EQ(machine_.NextWake(), At(2000));
}

TEST_F(ElectorMachineTest, AnAnswerThatComesAfterTheRightHasEndedGivesNone) {
  Step(0, Waited{});
  Step(0, Read(std::nullopt));
  EXPECT_THAT(Step(3000, Stored("1")), ElementsAre("holder me", "write me@1 t0"));
  EXPECT_EQ(machine_.RightUntil(), std::nullopt);
}

TEST_F(ElectorMachineTest, AProcessThatWasFrozenHasLostItsRightBeforeItDoesAnything) {
  Lead();
  Step(1000, Waited{});
  EXPECT_THAT(Step(60'000, Stored("2")),
              ElementsAre("stop: the lease was not renewed within 5s", "write me@2 t0"));
}

TEST_F(ElectorMachineTest, ALeaderThatReadsAnotherHolderStops) {
  Lead();
  Step(1000, Waited{});
  EXPECT_THAT(Step(1010, Refused()), ElementsAre("trouble", "read"));
  EXPECT_THAT(Step(1020, Read(Held("you", "5"))),
              ElementsAre("holder you", "stop: the lease was taken by you"));
}

TEST_F(ElectorMachineTest, ALeaderMakesADeletedLeaseAgainAndAFollowerWaitsForIt) {
  Lead();
  Step(1000, Waited{});
  Step(1010, Refused());
  EXPECT_THAT(Step(1020, Read(std::nullopt)), ElementsAre("holder ", "write me@new t0"));

  ElectorMachine follower(Config(), At(0));
  follower.Step(At(0), Wall(0), Waited{});
  follower.Step(At(0), Wall(0), Read(Held("you", "7")));
  follower.Step(At(1000), Wall(0), Waited{});
  EXPECT_EQ(follower.Step(At(1000), Wall(0), Read(std::nullopt)).size(), 1u) << "the holder alone";
  EXPECT_EQ(follower.NextWake(), At(2000));
}

TEST_F(ElectorMachineTest, ALateWatchEventDoesNotFoolALeader) {
  Lead();
  EXPECT_THAT(Step(100, LeaseSeen{Held("you", "0")}), IsEmpty());
  EXPECT_TRUE(machine_.MayWrite(At(100)));
}

TEST_F(ElectorMachineTest, AWallClockThatGoesBackDoesNotHideARenewal) {
  Lead();
  const auto before = written_.renew_time;
  machine_.Step(At(1000), Wall(-5000), Waited{});
  Stored("2");
  const auto commands = machine_.Step(At(1000), Wall(-5000), Waited{});
  EXPECT_THAT(commands, IsEmpty()) << "one request at a time";
  ElectorMachine other(Config(), At(0));
  other.Step(At(0), Wall(0), Waited{});
  const auto taken = other.Step(At(0), Wall(-9), Read(Held("me", "1")));
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_GT(std::get<WriteLease>(taken[1]).lease.renew_time, before);
}

TEST_F(ElectorMachineTest, SigtermEndsTheRightAndReleases) {
  Lead();
  EXPECT_THAT(Step(500, StopRequested{}), ElementsAre("stop: asked to stop", "write nobody@1 t0"));
  EXPECT_FALSE(machine_.MayWrite(At(500)));
  EXPECT_EQ(written_.duration_seconds, 1);
  EXPECT_THAT(Step(510, Stored("2")), ElementsAre("holder ", "finished"));
  EXPECT_EQ(machine_.NextWake(), std::nullopt);
  EXPECT_THAT(Step(9000, Waited{}), IsEmpty());
}

TEST_F(ElectorMachineTest, SigtermOfAFollowerEndsAtOnce) {
  Follow(Held("you", "7"));
  Step(1000, Waited{});  // a read is under way
  EXPECT_THAT(Step(1001, StopRequested{}), ElementsAre("finished"));
}

TEST_F(ElectorMachineTest, SigtermWhileAWriteIsUnderWayReleasesWhatItTook) {
  Step(0, Waited{});
  ASSERT_THAT(Step(0, Read(Held("", "7"))), ElementsAre("write me@7 t1"));
  EXPECT_THAT(Step(10, StopRequested{}), IsEmpty());
  EXPECT_THAT(Step(20, Stored("8")), ElementsAre("holder me", "write nobody@8 t1"));
  EXPECT_THAT(Step(30, Stored("9")), ElementsAre("holder ", "finished"));
}

TEST_F(ElectorMachineTest, AReleaseWithoutAnAnswerIsReadAndTriedAgainUntilADeadline) {
  Lead();
  Step(100, StopRequested{});
  EXPECT_THAT(Step(200, Lost()), ElementsAre("trouble"));
  EXPECT_THAT(Step(1100, Waited{}), ElementsAre("read"));
  EXPECT_THAT(Step(1110, Read(Held("me", "1"))), ElementsAre("write nobody@1 t0"));
  EXPECT_THAT(Step(2610, Lost()), ElementsAre("trouble", "read"));
  EXPECT_EQ(machine_.NextWake(), At(3100));
  EXPECT_THAT(Step(3100, Waited{}), ElementsAre("trouble", "finished"));
}

TEST(ElectorConfigTest, TheOrderOfTimeoutsIsCheckedAndTheSentenceNamesThem) {
  ElectorConfig good;
  good.identity = "me";
  EXPECT_TRUE(CheckElectorConfig(good).ok());
  const auto refusal = [&good](auto change) {
    ElectorConfig config = good;
    change(config);
    return CheckElectorConfig(config).ToString();
  };
  EXPECT_THAT(refusal([](auto& c) { c.identity = ""; }), HasSubstr("identity is empty"));
  EXPECT_THAT(refusal([](auto& c) { c.lease_duration = seconds(3); }),
              HasSubstr("renewDeadline is 3s; it must be below leaseDuration, which is 3s"));
  EXPECT_THAT(refusal([](auto& c) { c.retry_period = milliseconds(2500); }),
              HasSubstr("retryPeriod with its jitter is 3s; it must be below renewDeadline"));
  EXPECT_THAT(refusal([](auto& c) { c.request_timeout = seconds(3); }),
              HasSubstr("requestTimeout is 3s; it must be below renewDeadline, which is 3s"));
  EXPECT_THAT(refusal([](auto& c) { c.retry_period = seconds(0); }),
              HasSubstr("zero is 0s; it must be below retryPeriod, which is 0s"));
  EXPECT_THAT(refusal([](auto& c) { c.jitter = 2; }), HasSubstr("jitter is 2"));
}

}  // namespace
}  // namespace muster::kube
