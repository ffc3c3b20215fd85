// Streams come and go in every phase; and a process that was stopped writes nothing when it wakes
// (M2).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/session/bench.h"

namespace muster::session {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class ContactTest : public ::testing::Test {
 protected:
  ContactTest() {
    b.Warm();
    b.Install(ViewBuilder(1, {0, 1}).Fresh());
    b.FullStep();
  }
  Bench b{0, {.steps = 10, .checkpoint_every = 0, .evaluate_every = 0}};
};

TEST_F(ContactTest, WritesWithFreshContact) {
  b.Beat();
  EXPECT_THAT(b.Hear(api::CommitAck{base::Step(1)}), ElementsAre("WriteStepLine 1"));
  api::WriteManifest order;
  order.step = base::Step(1);
  EXPECT_THAT(b.Hear(order), ElementsAre("WriteManifest 1"));
  EXPECT_THAT(b.Hear(api::CheckpointCommitted{}), ElementsAre("PublishCheckpoint 0"));
}

TEST_F(ContactTest, WokenProcessWritesNothingBeforeItIsFenced) {
  b.Beat();
  b.After(20);
  api::WriteManifest order;
  order.step = base::Step(1);
  EXPECT_THAT(b.Hear(api::CommitAck{base::Step(1)}), IsEmpty());
  EXPECT_THAT(b.Hear(order), IsEmpty());
  EXPECT_THAT(b.Hear(api::CheckpointCommitted{}), IsEmpty());
  EXPECT_THAT(b.Hear(api::Fenced{"evicted"}), ElementsAre("Exit 71 (evicted)"));
}

TEST_F(ContactTest, AcknowledgementOfAnOldBeatIsNoFreshContact) {
  b.Do(BeatSent{100});
  b.After(20);
  b.Hear(api::CommitAck{base::Step(1)});
  EXPECT_THAT(b.Hear(api::BeatAck{100}), IsEmpty());
  b.Do(BeatSent{101});
  EXPECT_THAT(b.Hear(api::BeatAck{101}), ElementsAre("WriteStepLine 1"))
      << "the line was only late";
}

TEST_F(ContactTest, OthersThanRankZeroWriteNoLines) {
  Bench c(1);
  c.Warm();
  c.Install(ViewBuilder(1, {0, 1}).Fresh());
  c.FullStep();
  c.Beat();
  EXPECT_THAT(c.Hear(api::CommitAck{base::Step(1)}), IsEmpty());
  EXPECT_THAT(c.Hear(api::CheckpointCommitted{}), IsEmpty());
}

TEST_F(ContactTest, EveryPhaseSpeaksAgainAfterALostStream) {
  // Forward: the report and Installed are not acknowledged yet.
  b.Do(SlotBegun{b.tag, 0});
  b.Do(StreamDown{});
  EXPECT_THAT(b.Do(StreamUp{}),
              ElementsAre("Send Hello 0.0 e1 pending=0 forward committed=1 kept=s2{0}",
                          "Send Committed e1 step=1 attempt=0 digest=101 computed=3",
                          "Send Installed e1 resume=1 digest=7"));
  b.Do(SlotDone{b.tag, 0, 0.005, {}});
  b.Slots({1, 2});
  EXPECT_THAT(b.Do(StreamUp{}),
              Contains("Send Hello 0.0 e1 pending=0 reducing committed=1 kept=s2{0 1 2}"));
  b.Reduce();
  EXPECT_THAT(b.Do(StreamUp{}),
              Contains("Send Hello 0.0 e1 pending=0 applying committed=1 kept=s2{0 1 2}"));
  b.Apply();
  b.Hear(api::InstallView{ViewBuilder(2, {0, 1, 2}).Voluntary().Stateless(2)});
  EXPECT_THAT(b.Do(StreamUp{}),
              Contains("Send Hello 0.0 e1 pending=2 forward committed=2 kept=s3{}"));
  b.Hear(api::Interrupt{base::Epoch(2), {}});
  b.Do(ComputeStopped{b.tag});
  b.Hear(api::InstallView{ViewBuilder(3, {0, 1}).Resume(3, 102)});
  EXPECT_THAT(b.Do(StreamUp{}),
              Contains("Send Hello 0.0 e1 pending=0 installing interrupted committed=2 kept=s3{}"));
  b.Do(RingFailed{base::Epoch(3), {Id(1)}, "refused"});
  EXPECT_THAT(b.Do(StreamUp{}), Contains("Send CannotReach e3 1.0 (refused)"));
}

// A coordinator that was away for 2,000 steps was sent them all at once, more than the stream's queue
// takes: the stream was cut, and so was each after it.
TEST(BacklogTest, ReportsThatNobodyHasAcknowledgedGoSomeAtATime) {
  Bench b{0, {.steps = 20, .checkpoint_every = 0, .evaluate_every = 0, .reports_at_once = 2}};
  b.Warm();
  b.Install(ViewBuilder(1, {0, 1}).Fresh());
  b.Do(StreamDown{});
  for (int step = 1; step <= 5; ++step) b.FullStep();
  const auto reports = [](const std::vector<std::string>& lines) {
    std::vector<std::string> steps;
    for (const std::string& line : lines) {
      if (line.starts_with("Send Committed")) steps.push_back(line.substr(18, 6));
    }
    return steps;
  };
  EXPECT_THAT(reports(b.Do(StreamUp{})), ElementsAre("step=1", "step=2"));
  EXPECT_THAT(reports(b.Hear(api::CommitAck{base::Step(0)})), IsEmpty());
  EXPECT_THAT(reports(b.Hear(api::CommitAck{base::Step(1)})), ElementsAre("step=3"));
  EXPECT_THAT(reports(b.Do(StreamUp{})), ElementsAre("step=2", "step=3")) << "another stream";
  EXPECT_THAT(reports(b.Hear(api::CommitAck{base::Step(4)})), ElementsAre("step=5"))
      << "acknowledged by what another coordinator had heard";
  EXPECT_THAT(reports(b.Hear(api::CommitAck{base::Step(5)})), IsEmpty());
}

}  // namespace
}  // namespace muster::session
