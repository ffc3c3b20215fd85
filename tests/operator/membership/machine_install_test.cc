// Installing a view again and again (M7), what a change is said to have cost, and a reign that
// begins with nobody of the record.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/membership/state.h"
#include "tests/operator/membership/rig.h"

namespace muster::membership {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<api::View> Views(Rig& rig) {
  std::vector<api::View> out;
  for (const auto& said : Said<api::InstallView>(rig.Take())) {
    if (out.empty() || out.back().epoch != said.view.epoch) out.push_back(said.view);
  }
  return out;
}

api::Rescale OnlyRescale(Rig& rig) {
  const auto said = Only<RescaleDone>(rig.Take());
  EXPECT_THAT(said, SizeIs(1));
  return said.empty() ? api::Rescale() : said[0].rescale;
}

Rig& CannotInstall(Rig& rig, int epoch, std::vector<base::MemberId> reach = {}) {
  for (const int i : {0, 1}) {
    rig.Say(M(i), api::CannotReach{base::Epoch(epoch), reach, "no free socket"}, "CannotReach");
  }
  return rig.Ready(M(0), epoch, 1).Ready(M(1), epoch, 1);
}

TEST(BackOffTest, DoublesFromTheSecondFailureOnAndIsCapped) {
  const std::pair<int, int> cases[] = {{0, 0},   {1, 0},    {2, 100},  {3, 200},
                                       {4, 400}, {6, 1600}, {7, 2000}, {1000000, 2000}};
  for (const auto& [failed, ms] : cases) {
    EXPECT_EQ(InstallBackOff(failed), std::chrono::milliseconds(ms)) << failed;
  }
}

TEST(BackOffTest, TheFirstRetryFollowsAtOnceAndTheFifthFailureEndsTheJob) {
  Rig rig = RunningAll(3, 1, MakeConfig(3, 1));
  rig.Do(PodLost{M(2), "killed"}, "pod 2.0 lost").Ready(M(0), 1, 1).Ready(M(1), 1, 1).Take();
  CannotInstall(rig, 2);
  EXPECT_THAT(Views(rig), SizeIs(1)) << "at once";
  int epoch = 3;
  for (const int ms : {100, 200, 400}) {
    CannotInstall(rig, epoch++);
    EXPECT_EQ(rig.machine.GetSnapshot(rig.now).time_state, "agreeing");
    rig.After(ms - 10);
    EXPECT_THAT(Views(rig), IsEmpty()) << ms;
    rig.After(10);
    EXPECT_THAT(Views(rig), SizeIs(1)) << ms;
  }
  CannotInstall(rig, epoch);
  const auto failed = Only<JobFailed>(rig.Take());
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_THAT(failed[0].message, HasSubstr("no free socket"));
}

TEST(BackOffTest, AViewThatAllInstalledForgetsTheFailuresBeforeIt) {
  Rig rig = RunningAll(3, 1, MakeConfig(3, 1));
  rig.Do(PodLost{M(2), "killed"}, "pod 2.0 lost").Ready(M(0), 1, 1).Ready(M(1), 1, 1);
  CannotInstall(rig, 2);
  CannotInstall(rig, 3).After(100).Installed({M(0), M(1)}, 4, 2).Committed({M(0), M(1)}, 4, 2);
  rig.Take();
  rig.Say(M(0), api::Suspect{base::Epoch(4), M(1), api::Evidence::kReset, ""}, "Suspect");
  rig.Ready(M(0), 4, 2).Ready(M(1), 4, 2).Take();
  CannotInstall(rig, 5);
  EXPECT_THAT(Views(rig), SizeIs(1));
}

TEST(BackOffTest, ADeathInTheRebuildIsRecoveredFromAtOnce) {
  Rig rig = RunningAll(3, 1, MakeConfig(3, 1));
  rig.Do(PodLost{M(2), "killed"}, "pod 2.0 lost").Ready(M(0), 1, 1).Ready(M(1), 1, 1).Take();
  rig.Do(PodLost{M(1), "killed"}, "pod 1.0 lost").Ready(M(0), 2, 1);
  EXPECT_THAT(Views(rig), SizeIs(1));
}

TEST(RescaleTimesTest, OfAJoinOnlyWhatStayersWaitedForCounts) {
  Rig rig = RunningAll(2, 2, MakeConfig(2, 1));
  rig.Do(SetTarget{3, 1}, "target 3").Join({2}).After(3000).Committed({M(0), M(1)}, 1, 3).Take();
  const auto installed = [&](int ordinal, double rebuild, double synchronise) {
    rig.Say(M(ordinal),
            api::Installed{base::Epoch(2), base::Step(4), DigestOf(3), rebuild, synchronise},
            "Installed 2");
  };
  installed(0, 0.002, 0);
  rig.After(10);
  installed(1, 0.004, 0);
  rig.After(40);
  installed(2, 3.01, 0.05);  // it connected for three seconds, while the others trained
  rig.Committed({M(0), M(1), M(2)}, 2, 4);
  const api::Rescale r = OnlyRescale(rig);
  EXPECT_EQ(r.cause, "ScaledUp");
  EXPECT_DOUBLE_EQ(r.rebuild_seconds, 0.004);
  EXPECT_DOUBLE_EQ(r.synchronise_seconds, 0.04);
  EXPECT_DOUBLE_EQ(r.stall_seconds, 0.044);
}

TEST(RescaleTimesTest, AJoinerThatWasThereFirstCostsNoWait) {
  Rig rig = RunningAll(2, 2, MakeConfig(2, 1));
  rig.Do(SetTarget{3, 1}, "target 3").Join({2}).Committed({M(0), M(1)}, 1, 3).Take();
  rig.Installed({M(2)}, 2, 4).After(50).Installed({M(0), M(1)}, 2, 4);
  rig.Committed({M(0), M(1), M(2)}, 2, 4);
  const api::Rescale r = OnlyRescale(rig);
  EXPECT_DOUBLE_EQ(r.synchronise_seconds, 0);
  EXPECT_DOUBLE_EQ(r.stall_seconds, 0.01) << "the rig's members connect in 10 ms";
}

TEST(RescaleTimesTest, WhatWasScaledDownIsScaledUpAgainAndALossIsOnlyReplaced) {
  Rig rig = RunningAll(2, 1, MakeConfig(2, 1));
  rig.Do(SetTarget{1, 1}, "target 1").Committed({M(0), M(1)}, 1, 2).Installed({M(0)}, 2, 3);
  rig.Committed({M(0)}, 2, 3);
  EXPECT_EQ(OnlyRescale(rig).cause, "ScaledDown");
  rig.Do(SetTarget{2, 1}, "target 2").Join({1}).Committed({M(0)}, 2, 4);
  rig.Installed({M(0), M(1, 1)}, 3, 5).Committed({M(0), M(1, 1)}, 3, 5);
  EXPECT_EQ(OnlyRescale(rig).cause, "ScaledUp");
}

TEST(SlotsAgainTest, ChecksumRoundCountsEverySumThatWasThrownAway) {
  Rig rig = RunningAll(2, 1, MakeConfig(2, 1, 4));
  rig.Say(M(1), api::Suspect{base::Epoch(1), M(1), api::Evidence::kChecksum, "it does not agree"},
          "Suspect checksum");
  rig.Ready(M(0), 1, 1, {0, 1}).Ready(M(1), 1, 1, {2}).Installed({M(0), M(1)}, 2, 2);
  rig.Committed({M(0), M(1)}, 2, 2);
  EXPECT_EQ(OnlyRescale(rig).slots_recomputed, 3);
}

// A redo that cannot go on costs its own slots and those of the attempt before, which it emptied.
TEST(SlotsAgainTest, ARedoGivenUpCountsBothAttempts) {
  Rig rig = RunningAll(3, 1, MakeConfig(3, 1));
  rig.Do(PodLost{M(2), "killed"}, "pod 2.0 lost");
  rig.Ready(M(0), 1, 1, {0, 1}, 2, 0).Ready(M(1), 1, 1, {3}, 2, 1);
  rig.Installed({M(0), M(1)}, 2, 2).Committed({M(0), M(1)}, 2, 2);
  EXPECT_EQ(OnlyRescale(rig).slots_recomputed, 2 + 1 + 3) << "lost, its redo, its first attempt";
}

TEST(SlotsAgainTest, ALeaverThatCouldNotWaitTakesItsSlotsWithIt) {
  Rig rig = RunningAll(2, 1, MakeConfig(2, 2));
  rig.Say(M(1), api::Leave{1}, "Leave").After(800).Ready(M(0), 1, 1, {0}).Join({1}).Take();
  rig.Installed({M(0), M(1, 1)}, 2, 2).Committed({M(0), M(1, 1)}, 2, 2);
  EXPECT_EQ(OnlyRescale(rig).slots_recomputed, 4);
}

Config Resuming() {
  api::Record record;
  record.term = base::Term(1);
  record.version = 5;
  record.newest = {base::Epoch(3), {M(0), M(1)}};
  record.checkpoint = api::CheckpointRef{base::Step(12), base::Epoch(3), "digest-12", {}};
  Config config = MakeConfig(2, 1);
  config.record = record;
  return config;
}

TEST(FormerMembersTest, AreSaidOnceAndEvictNobody) {
  Config config = Resuming();
  config.spec.elasticity.below_min_timeout = std::chrono::milliseconds(500);
  Rig rig(config);
  rig.Start().Do(FormerMembers{{M(0), M(1)}}, "former members").After(1000);
  const auto commands = rig.Take();
  EXPECT_THAT(Only<JobFailed>(commands), IsEmpty()) << "its clock starts after the first view";
  EXPECT_FALSE(rig.machine.GetSnapshot(rig.now).below_min);
  EXPECT_THAT(Only<Evicted>(commands), IsEmpty());
  EXPECT_THAT(Notes(commands),
              ElementsAre("goes on from an earlier run, whose 2 members ended with it"));
  for (const int ordinal : {0, 1}) {
    rig.Hello(M(ordinal, 1));
    rig.Say(M(ordinal, 1), api::Warm{"host:1", "SkylakeX", "data", 10, 2.1, "cpu"}, "Warm");
  }
  const auto views = Views(rig);
  ASSERT_THAT(views, SizeIs(1));
  ASSERT_TRUE(views[0].restore);
  EXPECT_EQ(views[0].restore->step, base::Step(12));
  rig.Installed({M(0, 1), M(1, 1)}, 4, 13).Committed({M(0, 1), M(1, 1)}, 4, 13);
  EXPECT_EQ(OnlyRescale(rig).cause, "FirstView");
}

TEST(FormerMembersTest, OneThatSaysHelloLives) {
  Rig rig(Resuming());
  api::Hello training;
  training.epoch = base::Epoch(3);
  training.phase = api::MemberPhase::kForward;
  training.committed = base::Step(14);
  training.has_state = true;
  rig.Start().Hello(M(0), training).Do(FormerMembers{{M(0), M(1)}}, "former members");
  EXPECT_THAT(Said<api::Interrupt>(rig.Take()), SizeIs(1));
  rig.Ready(M(0), 3, 14);
  const auto views = Views(rig);
  ASSERT_THAT(views, SizeIs(1));
  EXPECT_EQ(views[0].resume_step, base::Step(15)) << "its state is newer than the checkpoint";
}

// Going back while a complete checkpoint is on its way into the record: it is what to go back to.
TEST(GoingBackTest, ACheckpointInFlightIsWaitedForAndUsed) {
  Rig rig = RunningAll(2, 2, MakeConfig(2, 1));
  rig.answer_writes = false;
  rig.Part(M(0), 1, 2).Part(M(1), 1, 2);
  rig.Say(M(0), api::ManifestWritten{base::Epoch(1), base::Step(2), "manifest", "", ""},
          "ManifestWritten");
  rig.Committed({M(0)}, 1, 3).Committed({M(1)}, 1, 3, 666);
  rig.Ready(M(0), 1, 3).Ready(M(1), 1, 3);
  EXPECT_THAT(Views(rig), IsEmpty());
  rig.answer_writes = true;
  rig.Answer(api::PersistOutcome::kOk);
  const auto commands = rig.Take();
  const auto back = Only<RolledBack>(commands);
  ASSERT_THAT(back, SizeIs(1));
  EXPECT_EQ(back[0].step, base::Step(2));
  EXPECT_EQ(Said<api::InstallView>(commands)[0].view.restore->step, base::Step(2));
}

TEST(GoingBackTest, AManifestThatComesTooLateIsNotCommitted) {
  Rig rig = RunningAll(2, 2, MakeConfig(2, 1));
  rig.Committed({M(0)}, 1, 3).Committed({M(1)}, 1, 3, 666);
  rig.Part(M(0), 1, 2).Part(M(1), 1, 2);
  EXPECT_THAT(Said<api::WriteManifest>(rig.Take()), SizeIs(1));
  rig.answer_writes = false;
  rig.Ready(M(0), 1, 3).Ready(M(1), 1, 3);
  rig.Say(M(0), api::ManifestWritten{base::Epoch(1), base::Step(2), "manifest", "", ""},
          "ManifestWritten");
  rig.answer_writes = true;
  rig.Answer(api::PersistOutcome::kOk);
  const auto commands = rig.Take();
  EXPECT_THAT(Only<CheckpointDone>(commands), IsEmpty());
  EXPECT_TRUE(Said<api::InstallView>(commands)[0].view.fresh);
  EXPECT_FALSE(rig.machine.GetSnapshot(rig.now).record.checkpoint);
}

// What a member computes on is the job's from the first that is ready: bits differ between kinds.
TEST(JoinTest, AMemberOnAnotherDeviceIsRefused) {
  Rig rig(MakeConfig(2, 1));
  rig.Start().Hello(M(0));
  rig.Say(M(0), api::Warm{"host:7000", "SkylakeX", "data", 10, 2.1, "GPU A"}, "Warm");
  rig.Hello(M(1)).Take();
  rig.Say(M(1), api::Warm{"host:7001", "SkylakeX", "data", 10, 2.1, "cpu"}, "Warm");
  const auto refused = Said<api::Refused>(rig.Take());
  ASSERT_THAT(refused, SizeIs(1));
  EXPECT_EQ(
      refused[0].reason,
      "device \"cpu\" is not the job's, which is \"GPU A\": members of one job compute alike");
  rig.After(60'000);  // until it trains with those that there are
  EXPECT_EQ(rig.last_write->next.device, "GPU A") << "whoever comes after holds to it as well";
}

}  // namespace
}  // namespace muster::membership
