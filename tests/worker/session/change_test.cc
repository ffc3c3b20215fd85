// Voluntary changes (M5, M15): joining, leaving, stopping, checkpoints at a common boundary.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/session/bench.h"

namespace muster::session {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using P = api::MemberPhase;

class ChangeTest : public ::testing::Test {
 protected:
  ChangeTest() {
    b.Warm();
    b.Install(ViewBuilder(1, {0, 1}).Fresh());
  }
  api::InstallView Grow() { return {ViewBuilder(2, {0, 1, 2}).Voluntary().Stateless(2)}; }
  Bench b{0, {.steps = 10, .checkpoint_every = 0, .evaluate_every = 0}};
};

TEST_F(ChangeTest, SwitchesAfterTheStepThatCountedEverybody) {
  EXPECT_THAT(b.Hear(Grow()), IsEmpty());
  EXPECT_THAT(b.Slots({0, 1, 2}), ElementsAre("Reduce e1 s1 view=2 checkpoint=0"));
  b.Reduce();  // a smaller count changes nothing
  EXPECT_THAT(b.Apply(), Contains("ComputeSlots s2{0 1 2} ahead e1"));
  b.Slots({0, 1, 2});
  b.next.view_held_by_all = true;
  b.Reduce();
  EXPECT_THAT(b.Apply(),
              ElementsAre("Send Committed e1 step=2 attempt=0 digest=102 computed=3",
                          "LearnStepTime", "ClearSums s3", "AbortRing e1", "ConnectRing e2 rank=0",
                          "ServeState e2 2", "ComputeSlots s3{0 1}"));
  EXPECT_THAT(b.Do(RingReady{base::Epoch(2), 0}),
              ElementsAre("Send Installed e2 resume=3 digest=102"));
  EXPECT_THAT(b.Slots({0, 1}), ElementsAre("Reduce e2 s3 view=0 checkpoint=0"));
}

TEST_F(ChangeTest, ViewThatArrivedAfterReduceIsNotSwitchedToInPlaceOfTheAgreedOne) {
  b.Hear(Grow());
  b.Slots({0, 1, 2});
  b.Hear(api::InstallView{ViewBuilder(3, {0, 1, 2, 3}).Voluntary().Stateless(2).Stateless(3)});
  b.next.view_held_by_all = true;
  b.Reduce();
  EXPECT_THAT(b.Apply(), Contains("ConnectRing e2 rank=0"));
}

TEST_F(ChangeTest, InterruptCancelsAHeldChange) {
  b.Hear(Grow());
  EXPECT_THAT(b.Hear(api::Interrupt{base::Epoch(2), {}}),
              Contains("Send Ready e2 committed=0 kept=s1{}"));
  b.Do(ComputeStopped{b.tag});
  b.Hear(api::InstallView{ViewBuilder(3, {0, 1}).Resume(1, 7)});
  b.Do(RingReady{base::Epoch(3), 0});
  EXPECT_THAT(b.Slots({0, 1, 2}), ElementsAre("Reduce e3 s1 view=0 checkpoint=0"));
}

TEST_F(ChangeTest, InterruptBetweenTheAgreedReductionAndItsUpdateCancelsTheSwitch) {
  b.Hear(Grow());
  b.Slots({0, 1, 2});
  b.next.view_held_by_all = true;
  b.Reduce();
  b.Hear(api::Interrupt{base::Epoch(2), {}});
  EXPECT_THAT(b.Apply(), ElementsAre(StartsWith("Send Committed e1 step=1"), "LearnStepTime",
                                     "ClearSums s2", "Send Ready e2 committed=1 kept=s2{}"));
}

TEST_F(ChangeTest, EvaluationAtTheSwitchIsDoneInTheOldRing) {
  Bench c(0, {.steps = 10, .checkpoint_every = 1, .evaluate_every = 1});
  c.Warm();
  c.Install(ViewBuilder(1, {0, 1}).Fresh());
  c.Hear(Grow());
  c.Slots({0, 1, 2});
  c.next.view_held_by_all = true;
  c.Reduce();
  EXPECT_THAT(c.Apply(),
              ElementsAre(StartsWith("Send Committed e1 step=1"), "LearnStepTime", "ClearSums s2",
                          "CopyForCheckpoint 1 rank=0/2", "EvaluateShare e1 1"));
  EXPECT_THAT(c.Do(Evaluated{base::Step(1), 2.0, base::Epoch(1)}),
              ElementsAre("Send Evaluated step=1", "AbortRing e1", "ConnectRing e2 rank=0",
                          "ServeState e2 1", "ComputeSlots s2{0 1}"));
}

TEST(JoinerTest, FetchesAtOnceAndResumesAfterTheStateItGot) {
  Bench c(2);
  c.Warm();
  const api::View view = ViewBuilder(2, {0, 1, 2}).Voluntary().Stateless(2);
  EXPECT_THAT(c.Hear(api::InstallView{view}),
              ElementsAre("ConnectRing e2 rank=2", "FetchState e2"));
  EXPECT_EQ(c.phase(), P::kInstalling);
  c.Do(RingReady{base::Epoch(2), 0});
  EXPECT_THAT(
      c.Do(StateReceived{base::Epoch(2), base::Step(5), 105, 0.3, 0}),
      ElementsAre("ClearSums s6", "ComputeSlots s6{4 5}", "Send Installed e2 resume=6 digest=105"));
}

// All slots of the resume step are kept by others. The buffers that the state came through are
// emptied before they are offered to a reduction.
TEST(JoinerTest, WithoutSlotsOffersAnEmptySumAndNotTheStateItReceived) {
  Bench c(2);
  c.Warm();
  const api::View view = ViewBuilder(2, {0, 1, 2})
                             .Resume(6, 105)
                             .Stateless(2)
                             .Slots(0, {0, 1, 2}, {0, 1, 2})
                             .Slots(1, {3, 4, 5}, {3, 4, 5})
                             .Slots(2, {}, {});
  c.Hear(api::InstallView{view});
  EXPECT_THAT(c.Do(StateReceived{base::Epoch(2), base::Step(5), 105, 0.3, 0}),
              ElementsAre("ClearSums s6"));
  EXPECT_THAT(c.Do(RingReady{base::Epoch(2), 0}),
              ElementsAre("Send Installed e2 resume=6 digest=105", StartsWith("Reduce e2 s6")));
}

TEST(JoinerTest, InterruptedBeforeStateCameIsStatelessAndMayBeTakenInAgain) {
  Bench c(2);
  c.Warm();
  c.Hear(api::InstallView{ViewBuilder(2, {0, 1, 2}).Voluntary().Stateless(2)});
  EXPECT_THAT(c.Hear(api::Interrupt{base::Epoch(2), {}}),
              ElementsAre("AbortRing e2", "Send Ready e2 committed=0 stateless kept=s0{}"));
  EXPECT_THAT(c.Hear(api::InstallView{ViewBuilder(3, {0, 2}).Resume(4, 103).Stateless(2)}),
              ElementsAre("ConnectRing e3 rank=1", "FetchState e3"));
  EXPECT_THAT(c.Do(StateFailed{base::Epoch(3), {Id(0)}, "reset"}),
              ElementsAre("Send CannotReach e3 0.0 (reset)"));
}

TEST_F(ChangeTest, LeaverServesUntilReleased) {
  EXPECT_THAT(b.Do(TermSignal{30}), ElementsAre("Send Leave"));
  b.Hear(api::InstallView{ViewBuilder(2, {1, 2}).Voluntary().Stateless(2).Leaver(0)});
  b.Slots({0, 1, 2});
  b.next.view_held_by_all = true;
  b.Reduce();
  EXPECT_THAT(b.Apply(), ElementsAre(StartsWith("Send Committed e1 step=1"), "LearnStepTime",
                                     "ClearSums s2", "AbortRing e1", "ServeState e2 1"));
  EXPECT_EQ(b.phase(), P::kLeaving);
  EXPECT_THAT(b.Do(StreamUp{}), Contains("Send Leave"));
  EXPECT_THAT(b.Hear(api::Interrupt{base::Epoch(2), {}}),
              ElementsAre("Send Ready e2 committed=1 kept=s2{}"));
  EXPECT_THAT(
      b.Hear(api::InstallView{ViewBuilder(3, {1, 2}).Resume(2, 101).Stateless(2).Leaver(0)}),
      ElementsAre("ServeState e3 1"));
  EXPECT_THAT(b.Hear(api::Release{}), ElementsAre(StartsWith("Exit 0")));
}

// The drain of a job's only worker left its last step without a line in steps.jsonl.
TEST_F(ChangeTest, LeaverThatNobodyOutstaysWritesItsLastLines) {
  b.Beat();
  b.Do(TermSignal{30});
  b.Hear(api::InstallView{ViewBuilder(2, {2}).Voluntary().Stateless(2).Leaver(0).Leaver(1)});
  b.Slots({0, 1, 2});
  b.next.view_held_by_all = true;
  b.Reduce();
  EXPECT_THAT(b.Apply(), Contains("WriteStepLine 1"));
}

TEST_F(ChangeTest, LeaverGoesByItselfWhenMostOfItsGraceIsOver) {
  b.Do(TermSignal{10});
  b.After(7.9);
  EXPECT_THAT(b.Do(Tick{}), IsEmpty());
  b.After(0.2);
  EXPECT_THAT(b.Do(Tick{}), ElementsAre(StartsWith("Exit 0")));
}

TEST_F(ChangeTest, OneThatLeaksLeavesInItsTurnAndStartsAgain) {
  // Rank 0 of two: the turn of even epochs.
  EXPECT_THAT(b.Do(StartAgain{base::Epoch(1), "open files grew"}), IsEmpty());
  b.Install(ViewBuilder(2, {0, 1}).Resume(1, 7));
  EXPECT_THAT(b.Do(StartAgain{base::Epoch(1), "of a view before"}), IsEmpty());
  EXPECT_THAT(b.Do(StartAgain{base::Epoch(2), "open files grew"}),
              ElementsAre(HasSubstr("open files grew"), "Send Leave"));
  EXPECT_THAT(b.Do(StartAgain{base::Epoch(2), "open files grew"}), IsEmpty()) << "once";
  b.After(3000);
  EXPECT_THAT(b.Do(Tick{}), IsEmpty()) << "it does not go by itself";
  EXPECT_THAT(b.Do(StreamUp{}), Contains("Send Leave"));
  EXPECT_THAT(b.Hear(api::Release{}), ElementsAre(StartsWith("Exit 79")));
}

TEST_F(ChangeTest, OneThatLeaksStaysAloneAndInAViewThatHasLostSomebody) {
  b.Install(ViewBuilder(2, {0, 1, 2}).Resume(1, 7));
  b.Install(ViewBuilder(4, {0, 1}).Resume(1, 7));
  EXPECT_THAT(b.Do(StartAgain{base::Epoch(4), "leaks"}), IsEmpty()) << "smaller than before";
  b.Install(ViewBuilder(5, {0}).Resume(1, 7));
  b.Install(ViewBuilder(6, {0}).Resume(1, 7));
  EXPECT_THAT(b.Do(StartAgain{base::Epoch(6), "leaks"}), IsEmpty()) << "it holds the state alone";
}

TEST_F(ChangeTest, ASignalIsStrongerThanTheWishToStartAgain) {
  b.Install(ViewBuilder(2, {0, 1}).Resume(1, 7));
  b.Do(StartAgain{base::Epoch(2), "leaks"});
  EXPECT_THAT(b.Do(TermSignal{30}), ElementsAre("Send Leave"));
  EXPECT_THAT(b.Do(TermSignal{30}), ElementsAre("Send Leave"));
  EXPECT_THAT(b.Hear(api::Release{}), ElementsAre(StartsWith("Exit 0")));
}

TEST(LeaveTest, TermSignalBeforeAnyViewExitsAtOnce) {
  Bench c;
  c.Warm();
  EXPECT_THAT(c.Do(TermSignal{10}), ElementsAre("Send Leave", StartsWith("Exit 0")));
}

TEST_F(ChangeTest, CheckpointIsCopiedAtTheBoundaryThatCountedEverybody) {
  b.Hear(api::RequestCheckpoint{4, false});
  EXPECT_THAT(b.Slots({0, 1, 2}), ElementsAre("Reduce e1 s1 view=0 checkpoint=4"));
  b.Reduce();
  EXPECT_THAT(b.Apply(), Not(Contains(StartsWith("Copy"))));
  EXPECT_THAT(b.Slots({0, 1, 2}), ElementsAre("Reduce e1 s2 view=0 checkpoint=4"));
  b.next.checkpoint_held_by_all = 4;
  b.Reduce();
  EXPECT_THAT(b.Apply(), Contains("CopyForCheckpoint 2 rank=0/2"));
  b.Do(StateCopied{base::Step(2)});
  EXPECT_THAT(b.Slots({0, 1, 2}), ElementsAre("Reduce e1 s3 view=0 checkpoint=0"));
  api::CheckpointPart part;
  part.epoch = base::Epoch(1);
  EXPECT_THAT(b.Do(PartWritten{base::Step(2), part}), ElementsAre("Send CheckpointPart e1 step=2"));
  EXPECT_THAT(b.Do(StreamUp{}), Contains("Send CheckpointPart e1 step=2"));
}

TEST_F(ChangeTest, StopTrainsNoFurtherAndMayBeAskedForAnotherCopy) {
  b.Hear(api::RequestCheckpoint{1, true});
  EXPECT_THAT(b.Slots({0, 1, 2}), ElementsAre("Reduce e1 s1 view=0 checkpoint=1 stop"));
  b.next.checkpoint_held_by_all = 1;
  b.next.stop_held_by_all = true;
  b.Reduce();
  EXPECT_THAT(b.Apply(), ElementsAre(StartsWith("Send Committed e1 step=1"), "LearnStepTime",
                                     "ClearSums s2", "CopyForCheckpoint 1 rank=0/2"));
  EXPECT_EQ(b.phase(), P::kWaiting);
  b.Do(StateCopied{base::Step(1)});
  EXPECT_THAT(b.Hear(api::RequestCheckpoint{2, true}), ElementsAre("CopyForCheckpoint 1 rank=0/2"));
}

TEST_F(ChangeTest, InterruptCancelsARequestedCheckpoint) {
  b.Hear(api::RequestCheckpoint{1, false});
  b.Hear(api::Interrupt{base::Epoch(1), {}});
  b.Do(ComputeStopped{b.tag});
  b.Hear(api::InstallView{ViewBuilder(2, {0}).Resume(1, 7)});
  b.Do(RingReady{base::Epoch(2), 0});
  EXPECT_THAT(b.Slots({0, 1, 2, 3, 4, 5}), ElementsAre("Reduce e2 s1 view=0 checkpoint=0"));
}

}  // namespace
}  // namespace muster::session
