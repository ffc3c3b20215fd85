// The record and the coordinator's own death: Persist's outcomes (M1) and a new reign (M11).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/operator/membership/rig.h"

namespace muster::membership {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

api::Record Before() {
  api::Record record;
  record.term = base::Term(4);
  record.version = 9;
  record.newest = {base::Epoch(6), {M(0), M(1), M(2)}};
  record.kernel_family = "SkylakeX";
  record.build_id = "build";
  record.data_digest = "data";
  return record;
}

Config After(const api::Record& record) {
  Config config = MakeConfig(3, 1);
  config.record = record;
  return config;
}

api::Hello Training(int epoch, int committed) {
  api::Hello hello;
  hello.epoch = base::Epoch(epoch);
  hello.phase = api::MemberPhase::kForward;
  hello.committed = base::Step(committed);
  hello.digest = DigestOf(committed);
  hello.has_state = true;
  return hello;
}

TEST(RecordTest, NobodyIsAnsweredBeforeTheTermIsPersisted) {
  Rig rig(MakeConfig(1, 1));
  rig.answer_writes = false;
  rig.Start().Join({0});
  EXPECT_THAT(Only<Send>(rig.Take()), IsEmpty());
  rig.Answer(api::PersistOutcome::kOk);
  EXPECT_THAT(Said<api::Welcome>(rig.Take()), SizeIs(1));
}

TEST(RecordTest, UnknownIsRetriedWithTheSamePair) {
  Rig rig(MakeConfig(1, 1));
  rig.answer_writes = false;
  rig.Start();
  const Persist first = *rig.last_write;
  rig.Answer(api::PersistOutcome::kUnknown).After(60);
  const auto again = Only<Persist>(rig.Take());
  ASSERT_THAT(again, SizeIs(2));
  EXPECT_EQ(again[1].expected, first.expected);
  EXPECT_EQ(again[1].next, first.next);
  // The first write had landed after all.
  rig.Answer(api::PersistOutcome::kConflict, first.next);
  EXPECT_EQ(rig.machine.GetSnapshot(rig.now).phase, "Waiting");
  rig.ExpectGolden("persist_unknown");
}

TEST(RecordTest, AHigherTermSilencesTheCoordinator) {
  Rig rig(After(Before()));
  rig.answer_writes = false;
  rig.Start();
  api::Record other = Before();
  other.term = base::Term(8);
  rig.Answer(api::PersistOutcome::kConflict, other);
  EXPECT_EQ(rig.machine.GetSnapshot(rig.now).phase, "Deposed");
  rig.Take();
  rig.Join({0}).After(2000);
  EXPECT_THAT(rig.Take(), IsEmpty());
  rig.ExpectGolden("persist_deposed");
}

TEST(RecordTest, AnotherConflictIsALostRace) {
  Rig rig(After(Before()));
  rig.answer_writes = false;
  rig.Start();
  api::Record other = Before();
  other.term = base::Term(5);
  other.nonce = 77;
  rig.Take();
  rig.Answer(api::PersistOutcome::kConflict, other);
  const auto writes = Only<Persist>(rig.Take());
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_EQ(writes[0].expected, other);
  EXPECT_EQ(writes[0].next.term, base::Term(6));
  rig.ExpectGolden("persist_conflict");
}

TEST(RecordTest, ViewIsSaidOnlyWhenPersisted) {
  Rig rig(MakeConfig(1, 1));
  rig.Start();
  rig.answer_writes = false;
  rig.Join({0});
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), IsEmpty());
  rig.Answer(api::PersistOutcome::kOk);
  EXPECT_THAT(Said<api::InstallView>(rig.Take()), SizeIs(1));
}

TEST(RecordTest, AFaultWhileTheViewIsPersistedUsesUpItsNumber) {
  Rig rig(MakeConfig(3, 1));
  rig.Start()
      .Join({0, 1, 2})
      .Installed({M(0), M(1), M(2)}, 1, 1)
      .Committed({M(0), M(1), M(2)}, 1, 1);
  rig.Do(PodLost{M(2), "killed"}, "pod 2.0 lost").Ready(M(0), 1, 1);
  rig.answer_writes = false;
  rig.Ready(M(1), 1, 1).Take();
  rig.Do(PodLost{M(1), "killed"}, "pod 1.0 lost");
  rig.answer_writes = true;
  rig.Answer(api::PersistOutcome::kOk);
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(1));
  EXPECT_EQ(views[0].view.epoch, base::Epoch(3));
  EXPECT_THAT(views[0].view.members, SizeIs(1));
}

TEST(RestartTest, AdoptsTheViewThatAllReport) {
  Rig rig(After(Before()));
  rig.Start().Hello(M(0), Training(6, 8)).Hello(M(2), Training(6, 8)).After(100);
  EXPECT_EQ(rig.machine.GetSnapshot(rig.now).phase, "Knowing");
  rig.Hello(M(1), Training(6, 8));
  EXPECT_EQ(rig.machine.GetSnapshot(rig.now).phase, "Settled");
  // Step 8 was acknowledged to 1.0 by the coordinator before, so its line is written already.
  rig.Committed({M(0), M(2)}, 6, 8).Committed({M(0), M(1), M(2)}, 6, 9);
  const auto commands = rig.Take();
  EXPECT_THAT(Said<api::Interrupt>(commands), IsEmpty());
  EXPECT_THAT(Said<api::InstallView>(commands), IsEmpty());
  const auto steps = Only<StepCommitted>(commands);
  ASSERT_THAT(steps, SizeIs(1));
  EXPECT_EQ(steps[0].step, base::Step(9));
  rig.ExpectGolden("restart_adopt");
}

// Reports of a backlog come some at a time: the pause between them may be the coordinator's own.
TEST(RestartTest, WhoHasBegunToReportIsWaitedFor) {
  Rig rig(After(Before()));
  rig.Start();
  for (const int ordinal : {0, 1, 2}) rig.Hello(M(ordinal), Training(6, 9));
  rig.Committed({M(0), M(1), M(2)}, 6, 7).After(1500).Take();
  rig.Committed({M(0), M(2)}, 6, 8).After(1500);
  EXPECT_THAT(Only<StepCommitted>(rig.Take()), IsEmpty());
  rig.Committed({M(1)}, 6, 8);
  EXPECT_THAT(Only<StepCommitted>(rig.Take()), SizeIs(1));
}

TEST(RestartTest, InterruptsWhenOneIsMissing) {
  Rig rig(After(Before()));
  rig.Start().Hello(M(0), Training(6, 8)).Hello(M(2), Training(6, 9));
  rig.After(1190);
  EXPECT_THAT(Said<api::Interrupt>(rig.Take()), IsEmpty()) << "nobody is convicted so early";
  rig.After(20);
  EXPECT_THAT(Said<api::Interrupt>(rig.Take()), SizeIs(2));
  rig.Ready(M(0), 6, 8).Ready(M(2), 6, 9);
  const auto views = Said<api::InstallView>(rig.Take());
  ASSERT_THAT(views, SizeIs(2));
  EXPECT_EQ(views[0].view.epoch, base::Epoch(7));
  EXPECT_EQ(views[0].view.resume_step, base::Step(10));
  rig.ExpectGolden("restart_interrupt");
}

TEST(RestartTest, AChangeHalfMadeCostsOneInterrupt) {
  api::Record record = Before();
  record.previous = {base::Epoch(5), {M(0), M(1)}};
  Rig rig(After(record));
  rig.Start();
  rig.Hello(M(0), Training(5, 8)).Hello(M(1), Training(5, 8)).Take();
  api::Hello joiner;
  joiner.pending_epoch = base::Epoch(6);
  joiner.phase = api::MemberPhase::kInstalling;
  rig.Hello(M(2), joiner);
  EXPECT_THAT(Said<api::Interrupt>(rig.Take()), SizeIs(3));
}

TEST(RestartTest, AJobWithAResultIsOver) {
  api::Record record = Before();
  record.result = api::JobResult{"00", "11", "1", ""};
  Rig rig(After(record));
  rig.Start();
  EXPECT_THAT(Only<JobSucceeded>(rig.Take()), SizeIs(1));
  rig.Hello(M(0), Training(6, 20));
  EXPECT_THAT(Said<api::Finish>(rig.Take()), SizeIs(1));
}

}  // namespace
}  // namespace muster::membership
