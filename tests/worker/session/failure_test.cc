// Failures (M4, M6): what is kept, what is answered, what is finished and what is ignored.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/session/bench.h"

namespace muster::session {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using P = api::MemberPhase;

api::Interrupt Stop(std::uint64_t epoch, std::vector<base::MemberId> evicted = {}) {
  return {base::Epoch(epoch), std::move(evicted)};
}

class FailureTest : public ::testing::Test {
 protected:
  FailureTest() {
    b.Warm();
    b.Install(ViewBuilder(1, {0, 1}).Fresh());
  }
  Bench b{0, {.steps = 10, .checkpoint_every = 0, .evaluate_every = 0}};
};

TEST_F(FailureTest, SlotInProgressIsReportedHeldAndFinishedNotRepeated) {
  b.Do(SlotBegun{b.tag, 0});
  b.Do(SlotDone{b.tag, 0, 0.005, {}});
  b.Do(SlotBegun{b.tag, 1});
  EXPECT_THAT(b.Hear(Stop(1, {Id(1)})),
              ElementsAre("AbortRing e1", "StopCompute", "Send Ready e1 committed=0 kept=s1{0 1}"));
  EXPECT_EQ(b.phase(), P::kReady);
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(2, {0}).Resume(1, 7).Tag(b.tag).Slots(
                  0, {0, 1, 2, 3, 4, 5}, {0, 1})}),
              ElementsAre("ConnectRing e2 rank=0"))
      << "the slot in progress must end before more is ordered";
  b.Do(SlotDone{b.tag, 1, 0.005, {}});
  EXPECT_THAT(b.Do(ComputeStopped{b.tag}), ElementsAre("ComputeSlots s1{2 3 4 5}"));
  EXPECT_THAT(b.Do(RingReady{base::Epoch(2), 0}),
              ElementsAre("Send Installed e2 resume=1 digest=7"));
  EXPECT_THAT(b.Slots({2, 3, 4, 5}), ElementsAre("Reduce e2 s1 view=0 checkpoint=0"));
}

// Launch ahead: the second was begun before the first was done.
TEST_F(FailureTest, BothSlotsInProgressAreReportedHeldAndFinishedNotRepeated) {
  b.Do(SlotBegun{b.tag, 0});
  b.Do(SlotBegun{b.tag, 1});
  b.Do(SlotDone{b.tag, 0, 0.005, {}});
  b.Do(SlotBegun{b.tag, 2});
  EXPECT_THAT(b.Hear(Stop(1, {Id(1)})), ElementsAre("AbortRing e1", "StopCompute",
                                                    "Send Ready e1 committed=0 kept=s1{0 1 2}"));
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(2, {0}).Resume(1, 7).Tag(b.tag).Slots(
                  0, {0, 1, 2, 3, 4, 5}, {0, 1, 2})}),
              ElementsAre("ConnectRing e2 rank=0"));
  b.Do(SlotDone{b.tag, 1, 0.005, {}});
  EXPECT_THAT(b.Do(SlotDone{b.tag, 2, 0.005, {}}), IsEmpty()) << "the order has not come back";
  EXPECT_THAT(b.Do(ComputeStopped{b.tag}), ElementsAre("ComputeSlots s1{3 4 5}"));
}

TEST_F(FailureTest, SlotBegunAfterReadyAndGivenToAnotherVoidsTheSum) {
  b.Do(SlotBegun{b.tag, 0});
  EXPECT_THAT(b.Hear(Stop(1)), Contains("Send Ready e1 committed=0 kept=s1{0}"));
  b.Do(SlotDone{b.tag, 0, 0.005, {}});
  b.Do(SlotBegun{b.tag, 1});  // it was begun before StopCompute took effect
  b.Hear(api::InstallView{ViewBuilder(2, {0, 2}).Resume(1, 7).Tag(b.tag).Slots(0, {0, 2, 4}, {0})});
  b.Do(SlotDone{b.tag, 1, 0.005, {}});
  EXPECT_THAT(b.Do(ComputeStopped{b.tag}), ElementsAre("ClearSums s1", "ComputeSlots s1{0 2 4}"));
}

TEST_F(FailureTest, KeptSumOfAnotherTagIsVoid) {
  b.Do(SlotBegun{b.tag, 0});
  b.Do(SlotDone{b.tag, 0, 0.005, {}});
  b.Hear(Stop(1));
  b.Do(ComputeStopped{b.tag});
  EXPECT_THAT(
      b.Hear(api::InstallView{ViewBuilder(2, {0}).Resume(1, 7).Tag({base::Step(1), 1, 9})}),
      ElementsAre("ConnectRing e2 rank=0", "ClearSums s1a1x9", "ComputeSlots s1a1x9{0 1 2 3 4 5}"));
}

TEST_F(FailureTest, ConfirmedReductionIsAppliedBeforeReady) {
  b.Slots({0, 1, 2});
  b.Reduce();
  EXPECT_THAT(b.Hear(Stop(1)), ElementsAre("AbortRing e1")) << "Ready waits for Applied";
  EXPECT_THAT(b.Apply(),
              ElementsAre("Send Committed e1 step=1 attempt=0 digest=101 computed=3",
                          "LearnStepTime", "ClearSums s2", "Send Ready e1 committed=1 kept=s2{}"));
}

TEST_F(FailureTest, ReductionThatArrivesAfterReadyDoesNotCommit) {
  b.Slots({0, 1, 2});
  EXPECT_THAT(b.Hear(Stop(1)),
              ElementsAre("AbortRing e1", "Send Ready e1 committed=0 kept=s1{0 1 2}"));
  EXPECT_THAT(b.Reduce(), IsEmpty());
  EXPECT_EQ(b.committed(), 0);
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(2, {0}).Resume(1, 7).Tag(b.tag).Slots(
                  0, {0, 1, 2, 3, 4, 5}, {0, 1, 2})}),
              ElementsAre("ConnectRing e2 rank=0", "ComputeSlots s1{3 4 5}"));
}

TEST_F(FailureTest, NextSumsWaitForTheAbortOfTheReduction) {
  b.Slots({0, 1, 2});
  b.Hear(Stop(1));
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(2, {0}).Resume(1, 7).Tag(b.tag).Slots(
                  0, {0, 1, 2, 3, 4, 5}, {0, 1, 2})}),
              ElementsAre("ConnectRing e2 rank=0"));
  EXPECT_THAT(b.Do(ReduceAborted{base::Epoch(1)}), ElementsAre("ComputeSlots s1{3 4 5}"));
}

TEST_F(FailureTest, MemberThatIsBehindReceivesStateAndItsSumIsVoid) {
  b.Slots({0, 1, 2});
  b.Hear(Stop(1));
  b.Do(ReduceAborted{base::Epoch(1)});
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(2, {0, 1}).Resume(2, 101).Stateless(0)}),
              ElementsAre("ConnectRing e2 rank=0", "FetchState e2"));
  b.Do(RingReady{base::Epoch(2), 0});
  EXPECT_THAT(b.Do(StateReceived{base::Epoch(2), base::Step(1), 101, 0.2, 0}),
              ElementsAre("ClearSums s2", "ComputeSlots s2{0 1 2}",
                          "Send Installed e2 resume=2 digest=101"));
}

TEST_F(FailureTest, MemberThatIsAheadServesState) {
  b.FullStep();
  b.Hear(Stop(1));
  b.Do(ComputeStopped{b.tag});
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(2, {0, 1}).Resume(2, 101).Stateless(1)}),
              ElementsAre("ConnectRing e2 rank=0", "ServeState e2 1", "ComputeSlots s2{0 1 2}"));
  b.Do(RingReady{base::Epoch(2), 0});
  b.Slots({0, 1, 2});
  EXPECT_THAT(b.Reduce(), ElementsAre("StopServing", "ApplyStep 2"));
}

TEST_F(FailureTest, StateThatArrivesAfterReadyIsReportedAgain) {
  b.Hear(Stop(1));
  b.Do(ComputeStopped{b.tag});
  b.Hear(api::InstallView{ViewBuilder(2, {0, 1}).Resume(4, 103).Stateless(0)});
  EXPECT_THAT(b.Hear(Stop(2)), ElementsAre("AbortRing e2", "Send Ready e2 committed=0 kept=s0{}"));
  EXPECT_THAT(b.Do(StateReceived{base::Epoch(2), base::Step(3), 103, 0.2, 0}),
              ElementsAre("Send Ready e2 committed=3 kept=s0{}"));
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(3, {0}).Resume(4, 103)}),
              ElementsAre("ConnectRing e3 rank=0", "ClearSums s4", "ComputeSlots s4{0 1 2 3 4 5}"));
}

TEST_F(FailureTest, ViewThatDoesNotFitTheOwnStateIsRefused) {
  b.Hear(Stop(1));
  b.Do(ComputeStopped{b.tag});
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(2, {0, 1}).Resume(4, 103)}),
              ElementsAre("ConnectRing e2 rank=0",
                          StartsWith("Send CannotReach e2 (view resumes at step 4")));
}

TEST_F(FailureTest, LateWordsAndEventsOfOldEpochsAreIgnored) {
  b.Hear(Stop(1));
  b.Do(ComputeStopped{b.tag});
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(1, {0, 1}).Fresh()}), IsEmpty())
      << "cancelled by the Interrupt";
  b.Hear(api::InstallView{ViewBuilder(3, {0}).Resume(1, 7)});
  EXPECT_THAT(b.Hear(Stop(2)), IsEmpty());
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(2, {0, 1}).Resume(1, 7)}), IsEmpty());
  EXPECT_THAT(b.Do(RingReady{base::Epoch(1), 0}), IsEmpty());
  EXPECT_THAT(b.Do(RingFailed{base::Epoch(1), {Id(1)}, ""}), IsEmpty());
  EXPECT_THAT(b.Do(PeerReset{base::Epoch(1), Id(1), ""}), IsEmpty());
  EXPECT_THAT(b.Do(ReduceAborted{base::Epoch(1)}), IsEmpty());
  EXPECT_THAT(b.Do(RingReady{base::Epoch(3), 0}),
              ElementsAre("Send Installed e3 resume=1 digest=7"));
}

TEST_F(FailureTest, LowerTermIsNotHeardAndHigherIsAdopted) {
  b.term = base::Term(3);
  b.Hear(api::CommitAck{});
  b.term = base::Term(2);
  EXPECT_THAT(b.Hear(Stop(1)), IsEmpty());
  b.term = base::Term(3);
  EXPECT_THAT(b.Hear(Stop(1)), Contains("AbortRing e1"));
}

TEST_F(FailureTest, RepeatedInterruptAndViewAreAnsweredAgain) {
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(1, {0, 1}).Fresh()}),
              ElementsAre("Send Installed e1 resume=1 digest=7"));
  b.Hear(Stop(1));
  EXPECT_THAT(b.Hear(Stop(1)), Contains("Send Ready e1 committed=0 kept=s1{}"));
  EXPECT_THAT(b.Do(StreamUp{}),
              ElementsAre(StartsWith("Send Hello 0.0 e1 pending=0 ready interrupted"),
                          "Send Ready e1 committed=0 kept=s1{}"));
}

// As with NCCL between members that all live: without a word of theirs nobody would form another view.
TEST_F(FailureTest, ABreakThatNobodyIsToBlameForIsTold) {
  EXPECT_THAT(b.Do(ReduceAborted{base::Epoch(1), "ncclRemoteError"}), IsEmpty())
      << "no reduction was on its way";
  b.Slots({0, 1, 2});
  EXPECT_THAT(b.Do(ReduceAborted{base::Epoch(1), "ncclRemoteError"}),
              ElementsAre("Send Suspect e1 0.0"));
}

TEST_F(FailureTest, BrokenPeerIsSuspectedUnlessInterrupted) {
  EXPECT_THAT(b.Do(PeerReset{base::Epoch(1), Id(1), "reset"}), ElementsAre("Send Suspect e1 1.0"));
  EXPECT_THAT(b.Slots({0, 1, 2}), IsEmpty()) << "no reduction over a broken ring";
  b.After(1.5);
  EXPECT_THAT(b.Do(Tick{}), ElementsAre(StartsWith("Send CannotReach e1 1.0 (the ring is broken")));
  b.Hear(Stop(1));
  EXPECT_THAT(b.Do(PeerReset{base::Epoch(1), Id(1), "reset"}), IsEmpty());
}

TEST_F(FailureTest, UnreachablePeersAreNamed) {
  b.Hear(Stop(1));
  b.Do(ComputeStopped{b.tag});
  b.Hear(api::InstallView{ViewBuilder(2, {0, 1, 2}).Resume(1, 7)});
  EXPECT_THAT(b.Do(RingFailed{base::Epoch(2), {Id(2)}, "no answer"}),
              ElementsAre("Send CannotReach e2 2.0 (no answer)"));
}

TEST_F(FailureTest, EvictedMemberExitsAtOnce) {
  EXPECT_THAT(b.Hear(Stop(1, {Id(0)})), ElementsAre(StartsWith("Exit 71")));
}

TEST_F(FailureTest, FencedAndRefusedHaveTheirOwnCodes) {
  EXPECT_THAT(b.Hear(api::Fenced{"gone"}), ElementsAre("Exit 71 (gone)"));
  Bench other;
  other.Do(StreamUp{});
  EXPECT_THAT(other.Hear(api::Refused{"build"}), ElementsAre("Exit 72 (build)"));
}

TEST_F(FailureTest, SaturationRedoIsKeptOverAnInterrupt) {
  b.Slots({0, 1, 2});
  b.next.saturated = true;
  b.next.next_exponents = 9;
  b.Reduce();
  b.Do(SlotBegun{b.tag, 0});
  EXPECT_THAT(b.Hear(Stop(1)), Contains("Send Ready e1 committed=0 kept=s1a1x9{0}"));
  b.Do(SlotDone{b.tag, 0, 0.005, {}});
  b.Do(ComputeStopped{b.tag});
  EXPECT_THAT(b.Hear(api::InstallView{
                  ViewBuilder(2, {0}).Resume(1, 7).Tag(b.tag).Slots(0, {0, 1, 2, 3, 4, 5}, {0})}),
              ElementsAre("ConnectRing e2 rank=0", "ComputeSlots s1a1x9{1 2 3 4 5}"));
}

// Found by the simulation: the others never learned the redo's exponents, so the first attempt is
// repeated, under those that everybody has.
TEST_F(FailureTest, RedoIsGivenUpWhenTheViewResumesWithTheFirstAttempt) {
  b.Slots({0, 1, 2});
  b.next.saturated = true;
  b.next.next_exponents = 9;
  b.Reduce();
  b.Slots({0, 1, 2});
  EXPECT_THAT(b.Hear(Stop(1)), Contains("Send Ready e1 committed=0 kept=s1a1x9{0 1 2}"));
  b.Do(ReduceAborted{base::Epoch(1)});
  EXPECT_THAT(b.Hear(api::InstallView{ViewBuilder(2, {0, 1}).Resume(1, 7).Slots(0, {0, 1, 2}, {})}),
              ElementsAre("ConnectRing e2 rank=0", "ClearSums s1", "ComputeSlots s1{0 1 2}"));
}

TEST_F(FailureTest, ChecksumMismatchIsReportedAndNothingIsReducedUntilAllIsComputedAgain) {
  b.Slots({0, 1, 2});
  b.next.checksum_ok = false;
  EXPECT_THAT(b.Reduce(), ElementsAre("Send Suspect e1 0.0"));
  b.next.checksum_ok = true;
  EXPECT_THAT(b.Do(Tick{}), IsEmpty()) << "waits for the Interrupt";
  EXPECT_THAT(b.Do(StreamUp{}),
              ElementsAre(AllOf(StartsWith("Send Hello 0.0 e1"), HasSubstr("interrupted")),
                          "Send Installed e1 resume=1 digest=7", "Send Suspect e1 0.0"))
      << "a new coordinator hears of it, too";
  b.Hear(Stop(1));
  EXPECT_THAT(b.Hear(api::InstallView{
                  ViewBuilder(2, {0, 1}).Resume(1, 7).Tag(b.tag).Slots(0, {0, 1, 2}, {})}),
              ElementsAre("ConnectRing e2 rank=0", "ClearSums s1", "ComputeSlots s1{0 1 2}"))
      << "the view counts nothing of what was kept";
}

TEST_F(FailureTest, FinishViewComparesCopiesAndWaits) {
  b.FullStep();
  b.Hear(Stop(1));
  b.Do(ComputeStopped{b.tag});
  b.Hear(api::InstallView{ViewBuilder(2, {0}).Resume(2, 101).Finish().Evaluate()});
  EXPECT_THAT(b.Do(RingReady{base::Epoch(2), 0}),
              ElementsAre("Send Installed e2 resume=2 digest=101", "CopyForCheckpoint 1 rank=0/1",
                          "EvaluateShare e2 1"));
  b.Do(Evaluated{base::Step(1), 2.0, base::Epoch(2)});
  EXPECT_EQ(b.phase(), P::kWaiting);
}

}  // namespace
}  // namespace muster::session
