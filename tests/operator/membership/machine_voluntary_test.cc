// Golden transcripts of voluntary changes (M5, M15), checkpoints (M14) and the end of a job (M12).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/operator/membership/rig.h"

namespace muster::membership {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

api::ManifestWritten Manifest(int step) {
  return {base::Epoch(1), base::Step(step), "manifest", "weights", ""};
}

TEST(VoluntaryTest, JoinersThatComeTogetherAreTakenInTogether) {
  Rig rig = RunningAll(2, 2, MakeConfig(2, 1));
  rig.Do(SetTarget{5, 1}, "target 5").Join({2}).After(100).Join({3}).After(90);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty());
  rig.After(20);
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(4));
  EXPECT_TRUE(views[0].view.voluntary);
  EXPECT_EQ(views[0].view.resume_step.value, 0);
  rig.Committed({M(0), M(1)}, 1, 3).Installed({M(0), M(1), M(2), M(3)}, 2, 4);
  rig.Committed({M(0), M(1), M(2), M(3)}, 2, 4);
  const auto commands = rig.Take();
  EXPECT_THAT(Only<StepCommitted>(commands), SizeIs(2));
  EXPECT_THAT(Said<api::Interrupt>(commands), IsEmpty());
  EXPECT_EQ(rig.machine.GetSnapshot(rig.now).size, 4);
  rig.ExpectGolden("join");
}

TEST(VoluntaryTest, LeaverIsReleasedWhenTheOthersHaveItsLastStep) {
  Rig rig = RunningAll(3, 2, MakeConfig(3, 1));
  rig.Say(M(1), api::Leave{30}, "Leave");
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(3)) << "the leaver hears of it, too";
  ASSERT_THAT(views[0].view.leavers, SizeIs(1));
  rig.Committed({M(1)}, 1, 3).Installed({M(0)}, 2, 4);
  EXPECT_THAT(Said<api::Release>(rig.Take()), IsEmpty());
  rig.Committed({M(0), M(2)}, 1, 3).Installed({M(2)}, 2, 4);
  const auto commands = rig.Take();
  EXPECT_THAT(Said<api::Release>(commands), SizeIs(1));
  ASSERT_THAT(Only<StepCommitted>(commands), SizeIs(1));
  EXPECT_EQ(Only<StepCommitted>(commands)[0].slots_computed, 6) << "the leaver's slots count";
  rig.Close(M(1)).After(300);
  EXPECT_THAT(Only<Evicted>(rig.Take()), IsEmpty());
  rig.ExpectGolden("leave");
}

TEST(VoluntaryTest, ScaleDownTakesTheHighestOrdinals) {
  Rig rig = RunningAll(4, 1, MakeConfig(4, 1));
  rig.Do(SetTarget{1, 1}, "target 1");
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_FALSE(views.empty());
  ASSERT_THAT(views[0].view.members, SizeIs(1));
  EXPECT_EQ(views[0].view.members[0].id, M(0));
  EXPECT_THAT(views[0].view.leavers, SizeIs(3));
}

TEST(VoluntaryTest, NeededLeaverWaitsForAReplacementUntilMostOfItsGraceIsGone) {
  Rig rig = RunningAll(2, 1, MakeConfig(2, 2));
  rig.Say(M(1), api::Leave{1}, "Leave").After(790);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty());
  rig.After(10);
  const auto commands = rig.Take();
  EXPECT_THAT(Said<api::Release>(commands), SizeIs(1));
  EXPECT_THAT(Only<Evicted>(commands), IsEmpty());
  EXPECT_THAT(Said<api::Interrupt>(commands), SizeIs(1));
}

TEST(VoluntaryTest, AFaultCancelsAnAnnouncedChange) {
  Rig rig = RunningAll(2, 2, MakeConfig(2, 1));
  rig.Do(SetTarget{3, 1}, "target 3").Join({2});
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), SizeIs(3));
  rig.Do(PodLost{M(1), "killed"}, "pod 1.0 lost");
  const auto interrupts = Said<api::Interrupt>(rig.Take());
  ASSERT_THAT(interrupts, SizeIs(2)) << "the union of both views less the dead";
  EXPECT_EQ(interrupts[0].epoch, base::Epoch(2));
  rig.Ready(M(0), 2, 2, {0, 1});
  api::Ready joiner;
  joiner.epoch = base::Epoch(2);
  rig.Say(M(2), joiner, "Ready without state");
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(2));
  EXPECT_EQ(views[0].view.epoch, base::Epoch(3));
  EXPECT_FALSE(views[0].view.voluntary);
  EXPECT_TRUE(views[0].view.members[0].has_state);
  EXPECT_FALSE(views[0].view.members[1].has_state);
  rig.ExpectGolden("cancelled_change");
}

TEST(CheckpointTest, CommitIsTheRecordsWord) {
  Rig rig = RunningAll(2, 2, MakeConfig(2, 1));
  rig.answer_writes = false;
  rig.Part(M(0), 1, 2).Part(M(1), 1, 2);
  EXPECT_THAT(Said<api::WriteManifest>(rig.Take()), SizeIs(1));
  rig.Say(M(0), Manifest(2), "ManifestWritten");
  EXPECT_THAT(Only<CheckpointDone>(rig.Take()), IsEmpty()) << "not before it is persisted";
  rig.Answer(api::PersistOutcome::kOk);
  const auto commands = rig.Take();
  EXPECT_THAT(Only<CheckpointDone>(commands), SizeIs(1));
  EXPECT_THAT(Said<api::CheckpointCommitted>(commands), SizeIs(2));
  rig.ExpectGolden("checkpoint_commit");
}

TEST(CheckpointTest, AbandonedOnesAreAskedForAgain) {
  Rig rig = RunningAll(2, 2, MakeConfig(2, 1));
  rig.Part(M(0), 1, 2).Part(M(1), 1, 2, "part-1: No space left on device (errno 28)");
  auto commands = rig.Take();
  ASSERT_THAT(Only<CheckpointAbandoned>(commands), SizeIs(1));
  EXPECT_TRUE(Only<CheckpointAbandoned>(commands)[0].no_space);
  EXPECT_TRUE(Only<CheckpointAbandoned>(commands)[0].refused);
  rig.After(990);
  EXPECT_THAT(Said<api::RequestCheckpoint>(rig.Take()), IsEmpty());
  rig.After(20);
  EXPECT_THAT(Said<api::RequestCheckpoint>(rig.Take()), SizeIs(2));
  rig.Committed({M(0), M(1)}, 1, 3).Part(M(0), 1, 3).Part(M(1), 1, 3);
  rig.Say(M(0), Manifest(3), "ManifestWritten");
  EXPECT_THAT(Only<CheckpointDone>(rig.Take()), SizeIs(1));
  rig.ExpectGolden("checkpoint_abandon");
}

TEST(CheckpointTest, OneBrokenByAFaultIsAskedForAfterwards) {
  Rig rig = RunningAll(2, 2, MakeConfig(2, 1));
  rig.Part(M(0), 1, 2).Do(PodLost{M(1), "killed"}, "pod 1.0 lost");
  const auto commands = rig.Take();
  ASSERT_THAT(Only<CheckpointAbandoned>(commands), SizeIs(1));
  EXPECT_FALSE(Only<CheckpointAbandoned>(commands)[0].refused) << "no disk said no";
  rig.Ready(M(0), 1, 2).Installed({M(0)}, 2, 3).After(1100);
  EXPECT_THAT(Said<api::RequestCheckpoint>(rig.Take()), SizeIs(1));
}

TEST(CheckpointTest, KeepsAsManyAsAsked) {
  Config config = MakeConfig(1, 1);
  config.spec.checkpoint.keep = 2;
  Rig rig = RunningAll(1, 3, config);
  for (int step : {1, 2, 3}) rig.Part(M(0), 1, step).Say(M(0), Manifest(step), "ManifestWritten");
  const auto said = Said<api::CheckpointCommitted>(rig.Take());
  ASSERT_THAT(said, SizeIs(3));
  ASSERT_THAT(said[2].kept, SizeIs(2));
  EXPECT_EQ(said[2].kept[0].step, base::Step(3));
  EXPECT_EQ(said[2].kept[1].step, base::Step(2));
}

TEST(EndTest, SuccessNeedsStepsEvaluationAndTheFinalCheckpoint) {
  Config config = MakeConfig(2, 1);
  config.spec.training.steps = 3;
  Rig rig = RunningAll(2, 3, config);
  rig.Part(M(0), 1, 3).Part(M(1), 1, 3).Say(M(0), Manifest(3), "ManifestWritten");
  EXPECT_THAT(Only<JobSucceeded>(rig.Take()), IsEmpty());
  rig.Say(M(1), api::Evaluated{base::Epoch(1), base::Step(3), 1.75}, "Evaluated");
  const auto commands = rig.Take();
  ASSERT_THAT(Only<JobSucceeded>(commands), SizeIs(1));
  const api::JobResult result = Only<JobSucceeded>(commands)[0].result;
  EXPECT_EQ(result.digest, "000000000000d003");
  EXPECT_EQ(result.weights_digest, "weights");
  EXPECT_EQ(result.held_out_loss, "1.75");
  EXPECT_EQ(std::stod(result.loss), 1.0 / 3);
  EXPECT_THAT(Said<api::Finish>(commands), SizeIs(2));
  EXPECT_TRUE(rig.machine.GetSnapshot(rig.now).succeeded);
  rig.ExpectGolden("success");
}

TEST(EndTest, DrainStopsAtACommittedBoundary) {
  Rig rig = RunningAll(2, 2, MakeConfig(2, 1));
  rig.Do(Drain{}, "drain");
  const auto asked = Said<api::RequestCheckpoint>(rig.Take());
  ASSERT_THAT(asked, SizeIs(2));
  EXPECT_TRUE(asked[0].stop);
  rig.Committed({M(0), M(1)}, 1, 3).Part(M(0), 1, 3).Part(M(1), 1, 3);
  rig.Say(M(0), Manifest(3), "ManifestWritten");
  EXPECT_THAT(Only<JobDrained>(rig.Take()), IsEmpty()) << "they may still train";
  rig.Beat(M(0), api::MemberPhase::kWaiting, 3).Beat(M(1), api::MemberPhase::kWaiting, 3);
  const auto commands = rig.Take();
  ASSERT_THAT(Only<JobDrained>(commands), SizeIs(1));
  EXPECT_EQ(Only<JobDrained>(commands)[0].step, base::Step(3));
  EXPECT_THAT(Said<api::Finish>(commands), SizeIs(2));
}

TEST(EndTest, DrainBelowMinimumCommitsWhatTheSurvivorsHave) {
  Rig rig = RunningAll(2, 2, MakeConfig(2, 2));
  rig.Do(PodLost{M(1), "killed"}, "pod 1.0 lost").Ready(M(0), 1, 2).Do(Drain{}, "drain");
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(1));
  EXPECT_EQ(views[0].view.goal, api::ViewGoal::kFinish);
  rig.Installed({M(0)}, 2, 3).Part(M(0), 2, 2).Say(M(0), Manifest(2), "ManifestWritten");
  ASSERT_THAT(Only<JobDrained>(rig.Take()), SizeIs(1));
}

TEST(EndTest, LastStepNeedsNoMinimum) {
  Config config = MakeConfig(2, 2);
  config.spec.training.steps = 2;
  Rig rig = RunningAll(2, 2, config);
  rig.Do(PodLost{M(1), "killed"}, "pod 1.0 lost").Ready(M(0), 1, 2);
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(1));
  EXPECT_EQ(views[0].view.goal, api::ViewGoal::kFinish);
  EXPECT_TRUE(views[0].view.evaluate);
  rig.Installed({M(0)}, 2, 3)
      .Say(M(0), api::Evaluated{base::Epoch(2), base::Step(2), 2.5}, "Evaluated");
  rig.Part(M(0), 2, 2).Say(M(0), Manifest(2), "ManifestWritten");
  EXPECT_THAT(Only<JobSucceeded>(rig.Take()), SizeIs(1));
}

TEST(EndTest, TheStateAfterTheLastStepIsThereAsLongAsSomebodyHoldsIt) {
  Config config = MakeConfig(2, 2);
  config.spec.training.steps = 2;
  Rig rig = RunningAll(2, 1, config);
  EXPECT_FALSE(rig.machine.GetSnapshot(rig.now).finishing);
  rig.Committed({M(0)}, 1, 2);
  EXPECT_TRUE(rig.machine.GetSnapshot(rig.now).finishing) << "the other one need not follow";
  rig.Do(PodLost{M(0), "killed"}, "pod 0.0 lost");
  EXPECT_FALSE(rig.machine.GetSnapshot(rig.now).finishing) << "it took the state along";
}

TEST(EndTest, BelowMinTimeoutCommitsAndFails) {
  Config config = MakeConfig(2, 2);
  config.spec.elasticity.below_min_timeout = std::chrono::milliseconds(500);
  Rig rig = RunningAll(2, 2, config);
  rig.Do(PodLost{M(1), "killed"}, "pod 1.0 lost").Ready(M(0), 1, 2).After(490);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty());
  rig.After(20).Installed({M(0)}, 2, 3).Part(M(0), 2, 2);
  rig.Say(M(0), Manifest(2), "ManifestWritten");
  const auto failed = Only<JobFailed>(rig.Take());
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_EQ(failed[0].reason, "BelowMin");
}

TEST(EndTest, AuditHoldsTheAcknowledgementBack) {
  Config config = MakeConfig(1, 1);
  config.audit = true;
  Rig rig = RunningAll(1, 0, config);
  rig.Committed({M(0)}, 1, 1);
  auto commands = rig.Take();
  EXPECT_THAT(Only<StepCommitted>(commands), SizeIs(1));
  EXPECT_THAT(Said<api::CommitAck>(commands), IsEmpty());
  rig.Do(AuditWritten{base::Step(1)}, "audit written");
  EXPECT_THAT(Said<api::CommitAck>(rig.Take()), SizeIs(1));
}

}  // namespace
}  // namespace muster::membership
