// What is said when several things come together: a join into an unfinished rescale, a leaver's
// last word, samples of the dead, a checkpoint that nobody can load, a resume.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/operator/membership/rig.h"

namespace muster::membership {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(RescaleTest, AFailureIsSaidBeforeAJoinThatWaitedIsAnnounced) {
  Rig rig = Running({0, 1, 2}, 2, MakeConfig(3, 1));
  rig.Do(PodLost{M(2), "killed"}, "pod 2.0 lost").Ready(M(0), 1, 2).Ready(M(1), 1, 2);
  rig.Installed({M(0), M(1)}, 2, 3).Take();
  rig.Hello(M(2, 1)).Say(M(2, 1), api::Warm{"host:7002", "SkylakeX", "data", 10, 2.1, "cpu"},
                         "Warm");
  rig.After(300);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty()) << "step 3 is not committed yet";
  rig.Committed({M(0), M(1)}, 2, 3);
  const auto commands = rig.Take();
  const auto rescales = Only<RescaleDone>(commands);
  ASSERT_THAT(rescales, SizeIs(1));
  EXPECT_EQ(rescales[0].rescale.epoch, base::Epoch(2));
  EXPECT_EQ(rescales[0].rescale.cause, "WorkerKilled");
  EXPECT_EQ(rescales[0].rescale.from, 3);
  EXPECT_EQ(rescales[0].rescale.to, 2);
  ASSERT_THAT(Said<api::InstallView>(commands), SizeIs(3));
  EXPECT_TRUE(Said<api::InstallView>(commands)[0].view.voluntary);
  rig.Committed({M(0), M(1)}, 2, 4).Installed({M(0), M(1), M(2, 1)}, 3, 5);
  rig.Committed({M(0), M(1), M(2, 1)}, 3, 5);
  const auto joined = Only<RescaleDone>(rig.Take());
  ASSERT_THAT(joined, SizeIs(1));
  EXPECT_EQ(joined[0].rescale.cause, "Joined");
}

TEST(RescaleTest, AChangeOvertakenBeforeItWasSaidHindersNoLaterOne) {
  Rig rig = Running({0, 1}, 2, MakeConfig(2, 1));
  rig.answer_writes = false;
  rig.Do(SetTarget{3, 1}, "target 3").Join({2}).Take();
  rig.Do(PodLost{M(2), "killed"}, "pod 2.0 lost");
  rig.answer_writes = true;
  rig.Answer(api::PersistOutcome::kOk);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty());
  rig.Hello(M(2, 1)).Say(M(2, 1), api::Warm{"host:7002", "SkylakeX", "data", 10, 2.1, "cpu"},
                         "Warm");
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), SizeIs(3));
}

TEST(LeaverTest, IsNotReleasedBeforeItsOwnReportOfTheSwitch) {
  Rig rig = Running({0, 1}, 2, MakeConfig(2, 1));
  rig.Do(SetTarget{1, 1}, "target 1").Take();
  rig.Committed({M(0)}, 1, 3).Installed({M(0)}, 2, 4).After(100);
  rig.Committed({M(0)}, 2, 4);
  auto commands = rig.Take();
  EXPECT_THAT(Said<api::Release>(commands), IsEmpty());
  EXPECT_THAT(Only<StepCommitted>(commands), IsEmpty()) << "its slots are part of the step";
  rig.Committed({M(1)}, 1, 3);
  commands = rig.Take();
  EXPECT_THAT(Said<api::Release>(commands), SizeIs(1));
  ASSERT_THAT(Only<StepCommitted>(commands), SizeIs(2));
  EXPECT_EQ(Only<StepCommitted>(commands)[0].slots_computed, 4);
}

TEST(LeaverTest, ThatDiesUnreportedHoldsNothingUp) {
  Rig rig = Running({0, 1}, 2, MakeConfig(2, 1));
  rig.Do(SetTarget{1, 1}, "target 1").Take();
  rig.Committed({M(0)}, 1, 3).Installed({M(0)}, 2, 4).Take();
  rig.Do(PodLost{M(1), "killed"}, "pod 1.0 lost");
  const auto commands = rig.Take();
  EXPECT_THAT(Only<StepCommitted>(commands), SizeIs(1));
  EXPECT_THAT(Said<api::Interrupt>(commands), IsEmpty());
}

TEST(LeaverTest, WithoutAReportIsReleasedWhenMostOfItsGraceIsGone) {
  Rig rig = Running({0, 1}, 2, MakeConfig(2, 1));
  rig.Say(M(1), api::Leave{1}, "Leave").Take();
  rig.Committed({M(0)}, 1, 3).Installed({M(0)}, 2, 4).After(780);
  EXPECT_THAT(Said<api::Release>(rig.Take()), IsEmpty());
  rig.After(40);
  EXPECT_THAT(Said<api::Release>(rig.Take()), SizeIs(1));
}

api::Committed WithAllSamples(int epoch, int step, int slots) {
  api::Committed c;
  c.epoch = base::Epoch(epoch);
  c.step = base::Step(step);
  c.digest = DigestOf(step);
  for (int slot = 0; slot < slots; ++slot) {
    c.samples.push_back({slot, {static_cast<std::uint64_t>(100 * step + slot)}});
  }
  return c;
}

TEST(AuditTest, AStepThatAMemberDidNotLiveToReportHasAllItsSlots) {
  Config config = MakeConfig(2, 1, 4);
  config.audit = true;
  Rig rig = Running({0, 1}, 0, config);
  rig.Say(M(0), WithAllSamples(1, 1, 4), "Committed 1 with samples");
  rig.Do(PodLost{M(1), "killed"}, "pod 1.0 lost").Ready(M(0), 1, 1).Installed({M(0)}, 2, 2);
  const auto steps = Only<StepCommitted>(rig.Take());
  ASSERT_THAT(steps, SizeIs(1));
  const auto& audit = steps[0].audit;
  ASSERT_THAT(audit, SizeIs(2));
  EXPECT_EQ(audit[0].member, M(0));
  EXPECT_EQ(audit[1].member, M(1)) << "they were the dead one's in the view of that step";
  ASSERT_THAT(audit[1].slots, SizeIs(2));
  EXPECT_EQ(audit[1].slots[0].slot, 2);
  EXPECT_THAT(audit[1].slots[1].samples, ElementsAre(103));
}

TEST(AuditTest, TheResumeStepsSlotsAreTheirsWhoKeptThem) {
  Config config = MakeConfig(3, 1, 3);
  config.audit = true;
  Rig rig = Running({0, 1, 2}, 0, config);
  rig.Do(PodLost{M(0), "killed"}, "pod 0.0 lost").Ready(M(1), 1, 0, {1}, 1);
  rig.Ready(M(2), 1, 0, {2}, 1).Installed({M(1), M(2)}, 2, 1);
  for (const int ordinal : {1, 2}) {
    rig.Say(M(ordinal), WithAllSamples(2, 1, 3), "Committed 1 with samples");
  }
  const auto steps = Only<StepCommitted>(rig.Take());
  ASSERT_THAT(steps, SizeIs(1));
  ASSERT_THAT(steps[0].audit, SizeIs(2));
  EXPECT_EQ(steps[0].audit[0].member, M(1));
  EXPECT_THAT(steps[0].audit[0].slots, SizeIs(2)) << "its own and the lost one";
  EXPECT_THAT(steps[0].audit[1].slots, SizeIs(1)) << "each slot once, however many report it";
  EXPECT_EQ(steps[0].audit[1].slots[0].slot, 2);
}

api::CheckpointRef Checkpoint(int step) {
  return {base::Step(step), base::Epoch(1), "digest-" + std::to_string(step), {}};
}

// The record of a run that ended; nobody of it lives.
Config Resuming(std::optional<int> checkpoint, std::vector<int> kept) {
  api::Record record;
  record.term = base::Term(1);
  record.version = 5;
  record.newest = {base::Epoch(3), {M(0), M(1)}};
  record.kernel_family = "SkylakeX";
  record.build_id = "build";
  record.data_digest = "data";
  if (checkpoint) record.checkpoint = Checkpoint(*checkpoint);
  for (const int step : kept) record.kept_checkpoints.push_back(Checkpoint(step));
  Config config = MakeConfig(2, 1);
  config.record = record;
  return config;
}

Rig Resumed(Config config) {
  Rig rig(std::move(config));
  rig.Start();
  rig.Do(FormerMembers{{M(0), M(1)}}, "former members");
  for (const int ordinal : {0, 1}) {
    rig.Hello(M(ordinal, 1));
    rig.Say(M(ordinal, 1), api::Warm{"host:1", "SkylakeX", "data", 10, 2.1, "cpu"}, "Warm");
  }
  return rig;
}

void CannotLoad(Rig& rig, int epoch) {
  for (const int ordinal : {0, 1}) {
    const base::MemberId id = M(ordinal, 1);
    rig.Say(id, api::CannotReach{base::Epoch(epoch), {id}, "part-0: checksum differs"},
            "cannot load the checkpoint");
  }
  for (const int ordinal : {0, 1}) {
    api::Ready ready;
    ready.epoch = base::Epoch(epoch);
    rig.Say(M(ordinal, 1), ready, "Ready without state");
  }
}

TEST(DamageTest, TheCheckpointBeforeADamagedOneIsUsedAndSaid) {
  Rig rig = Resumed(Resuming(12, {8, 4}));
  auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(2));
  EXPECT_EQ(views[0].view.restore, Checkpoint(12));
  CannotLoad(rig, 4);
  const auto commands = rig.Take();
  views = Said<api::InstallView>(commands);
  ASSERT_THAT(views, SizeIs(2));
  EXPECT_EQ(views[0].view.restore, Checkpoint(8));
  EXPECT_EQ(views[0].view.resume_step, base::Step(9));
  EXPECT_THAT(Notes(commands),
              ::testing::Contains(AllOf(HasSubstr("step 12"), HasSubstr("part-0: checksum differs"),
                                        HasSubstr("step 8"))));
  const auto back = Only<RolledBack>(commands);
  ASSERT_THAT(back, SizeIs(1));
  EXPECT_EQ(back[0].step, base::Step(8));
  EXPECT_THAT(back[0].reason, HasSubstr("part-0: checksum differs"));
  const api::Record record = rig.machine.GetSnapshot(rig.now).record;
  EXPECT_EQ(record.checkpoint, Checkpoint(8)) << "the record names the damaged one no more";
  EXPECT_THAT(record.kept_checkpoints, ElementsAre(Checkpoint(4)));
  EXPECT_THAT(Only<Evicted>(commands), IsEmpty());
}

TEST(DamageTest, WithoutAnOlderCheckpointTrainingBeginsAfresh) {
  Rig rig = Resumed(Resuming(12, {}));
  rig.Take();
  CannotLoad(rig, 4);
  const auto commands = rig.Take();
  const auto views = Said<api::InstallView>(commands);
  ASSERT_THAT(views, SizeIs(2));
  EXPECT_TRUE(views[0].view.fresh);
  EXPECT_FALSE(rig.machine.GetSnapshot(rig.now).record.checkpoint);
  EXPECT_THAT(Only<JobFailed>(commands), IsEmpty());
}

TEST(DamageTest, MoreDamagedCheckpointsThanInstallAttemptsAreAllPassedOver) {
  Rig rig = Resumed(Resuming(70, {60, 50, 40, 30, 20, 10}));
  for (int epoch = 4; epoch < 10; ++epoch) CannotLoad(rig, epoch);
  const auto commands = rig.Take();
  EXPECT_THAT(Only<JobFailed>(commands), IsEmpty());
  EXPECT_EQ(Said<api::InstallView>(commands).back().view.restore, Checkpoint(10));
}

TEST(DamageTest, ACheckpointThatSomebodyLoadedIsNotDropped) {
  Rig rig = Resumed(Resuming(12, {8}));
  rig.Take();
  rig.Installed({M(0, 1)}, 4, 13);
  rig.Say(M(1, 1), api::CannotReach{base::Epoch(4), {M(1, 1)}, "part-0: input/output error"},
          "cannot load the checkpoint");
  rig.Ready(M(0, 1), 4, 12);
  api::Ready ready;
  ready.epoch = base::Epoch(4);
  rig.Say(M(1, 1), ready, "Ready without state");
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(2));
  EXPECT_FALSE(views[0].view.restore);
  EXPECT_TRUE(views[0].view.members[0].has_state) << "the other one receives it from there";
  EXPECT_EQ(rig.machine.GetSnapshot(rig.now).record.checkpoint, Checkpoint(12));
}

TEST(DamageTest, AnIntactCheckpointThatNobodyCanUseFailsTheJobWithItsSentence) {
  Rig rig = Resumed(Resuming(12, {8}));
  for (int epoch = 4; epoch < 9; ++epoch) {
    rig.After(1000);  // the back-off
    for (const int ordinal : {0, 1}) {
      rig.Say(M(ordinal, 1), api::CannotReach{base::Epoch(epoch), {}, "made by another build"},
              "cannot use the checkpoint");
    }
    for (const int ordinal : {0, 1}) {
      api::Ready ready;
      ready.epoch = base::Epoch(epoch);
      rig.Say(M(ordinal, 1), ready, "Ready without state");
    }
  }
  const auto failed = Only<JobFailed>(rig.Take());
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_EQ(failed[0].reason, "CannotReach");
  EXPECT_THAT(failed[0].message, HasSubstr("made by another build"));
  EXPECT_EQ(rig.machine.GetSnapshot(rig.now).record.checkpoint, Checkpoint(12));
}

TEST(ResumeTest, TheFirstViewAfterAResumeIsAFirstView) {
  Rig rig = Resumed(Resuming(12, {}));
  rig.Installed({M(0, 1), M(1, 1)}, 4, 13).Committed({M(0, 1), M(1, 1)}, 4, 13);
  const auto rescales = Only<RescaleDone>(rig.Take());
  ASSERT_THAT(rescales, SizeIs(1));
  EXPECT_EQ(rescales[0].rescale.cause, "FirstView");
  EXPECT_EQ(rescales[0].rescale.from, 0);
  EXPECT_EQ(rescales[0].rescale.steps_lost, 0);
}

TEST(EndTest, AProgramWithoutHeldOutDataReportsNoHeldOutLoss) {
  Config config = MakeConfig(1, 1);
  config.spec.program.builtin = api::Builtin::kBench;
  config.spec.training.steps = 1;
  Rig rig = Running({0}, 1, config);
  rig.Say(M(0), api::Evaluated{base::Epoch(1), base::Step(1), 0}, "Evaluated");
  rig.Part(M(0), 1, 1);
  rig.Say(M(0), api::ManifestWritten{base::Epoch(1), base::Step(1), "manifest", "weights", ""},
          "ManifestWritten");
  rig.Do(PodLost{M(0), "exited with code 0"}, "pod 0.0 gone");
  const auto commands = rig.Take();
  EXPECT_THAT(Only<HeldOut>(commands), IsEmpty());
  ASSERT_THAT(Only<JobSucceeded>(commands), SizeIs(1));
  EXPECT_EQ(Only<JobSucceeded>(commands)[0].result.held_out_loss, "");
  EXPECT_THAT(Notes(commands), ::testing::Not(::testing::Contains(HasSubstr("gone"))));
}

TEST(ChecksumTest, MembersComputeAllAgainAndThreeInARowFail) {
  Rig rig = Running({0, 1}, 1, MakeConfig(2, 1, 4));
  for (int round = 1; round <= 3; ++round) {
    rig.Say(M(1),
            api::Suspect{base::Epoch(round), M(1), api::Evidence::kChecksum, "it does not agree"},
            "Suspect checksum");
    const auto commands = rig.Take();
    EXPECT_THAT(Only<Evicted>(commands), IsEmpty()) << "nobody knows whose it was";
    if (round == 3) {
      ASSERT_THAT(Only<JobFailed>(commands), SizeIs(1));
      EXPECT_EQ(Only<JobFailed>(commands)[0].reason, "Invariant");
      break;
    }
    rig.Ready(M(0), round, 1, {0, 1}).Ready(M(1), round, 1, {2, 3});
    const auto views = Said<api::InstallView>(rig.Take());
    ASSERT_THAT(views, SizeIs(2));
    EXPECT_THAT(views[0].view.members[0].kept_slots, IsEmpty());
    EXPECT_THAT(views[0].view.members[1].kept_slots, IsEmpty());
    rig.Installed({M(0), M(1)}, round + 1, 2);
  }
}

}  // namespace
}  // namespace muster::membership
