// Status, time sums and progress: pure values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "operator/app/progress.h"
#include "operator/app/status_builder.h"
#include "operator/app/time_ledger.h"

namespace muster::app {
namespace {

using testing::Pair;
using testing::UnorderedElementsAre;

base::WallTime At(double s) { return base::WallTime(base::FromSeconds(1000 + s)); }

struct Known {
  api::TrainingJob job;
  job::Plan plan;
  membership::Snapshot snapshot;
  std::vector<api::Rescale> rescales;
  std::string image;

  Known() {
    job.name = "j";
    job.generation = 2;
    job.spec.workers.replicas = 4;
    plan.state = api::JobState::kRunning;
    plan.conditions = {{"Running", "True", "Training", "training with 4 of 4 members", {}}};
    snapshot.size = 4;
  }
  api::TrainingJobStatus Make(double now) {
    return MakeStatus({job, job.status, plan, snapshot, {}, {}, rescales, 4, image, 20, At(now)});
  }
};

TEST(StatusTest, TakesPlanAndMembership) {
  Known known;
  known.snapshot.record.term = base::Term(3);
  known.snapshot.record.kernel_family = "SkylakeX";
  known.snapshot.record.result = api::JobResult{"0123", "abc", "2.5", ""};
  const auto status = known.Make(5);
  EXPECT_EQ(status.state, api::JobState::kRunning);
  EXPECT_EQ(status.observed_generation, 2);
  EXPECT_EQ(status.start_time, At(5));
  EXPECT_EQ(status.members, 4);
  EXPECT_EQ(status.desired_members, 4);
  EXPECT_EQ(status.replicas, 4);
  EXPECT_EQ(status.kernel_family, "SkylakeX");
  EXPECT_EQ(status.membership, known.snapshot.record);
  EXPECT_EQ(status.result, known.snapshot.record.result);
}

TEST(StatusTest, AnImageIsRememberedAndWrittenAtOnce) {
  Known known;
  known.image = "muster/worker:1";
  const auto status = known.Make(5);
  EXPECT_EQ(status.worker_image, "muster/worker:1");
  auto before = status;
  before.worker_image.clear();
  EXPECT_TRUE(IsTransition(before, status));
  known.job.status = status;
  known.image.clear();
  EXPECT_EQ(known.Make(6).worker_image, "muster/worker:1");
}

// The operator was killed between the result and the status that tells of it.
TEST(StatusTest, AJobThatHasSucceededHasTheMembersAndTheStepsThatItHad) {
  Known known;
  known.snapshot.size = 0;
  known.snapshot.record.term = base::Term(3);
  known.snapshot.record.newest = {base::Epoch(2), {{0, 0}, {1, 0}, {2, 1}}};
  EXPECT_EQ(known.Make(5).members, 0);
  known.snapshot.record.result = api::JobResult{"0123", "abc", "2.5", ""};
  known.job.spec.training.steps = 10;
  EXPECT_EQ(known.Make(5).members, 3);
  EXPECT_EQ(known.Make(5).progress.step, 10);
}

TEST(StatusTest, AConditionsTimeIsThatOfItsLastChange) {
  Known known;
  known.job.status = known.Make(1);
  known.plan.conditions[0].message = "training with 3 of 4 members";
  known.job.status = known.Make(2);
  ASSERT_EQ(known.job.status.conditions.size(), 1u);
  EXPECT_EQ(known.job.status.conditions[0].last_transition_time, At(1));
  EXPECT_EQ(known.job.status.conditions[0].message, "training with 3 of 4 members");
  known.plan.conditions[0].status = "False";
  EXPECT_EQ(known.Make(3).conditions[0].last_transition_time, At(3));
  EXPECT_EQ(known.job.status.start_time, At(1));
}

TEST(StatusTest, WhatHasNotStartedHasNoStartAndNothingFixed) {
  Known known;
  known.plan.spec_hash = "s";
  known.plan.template_hash = "t";
  known.plan.started = false;
  known.job.status = known.Make(1);
  EXPECT_EQ(known.job.status.start_time, std::nullopt);
  EXPECT_EQ(known.job.status.spec_hash + known.job.status.template_hash, "");
  known.plan.started = true;
  known.job.status = known.Make(2);
  EXPECT_EQ(known.job.status.start_time, At(2));
  EXPECT_EQ(known.job.status.spec_hash, "s");
  EXPECT_EQ(known.job.status.template_hash, "t");
  // A plan that says nothing of them takes nothing away.
  known.plan.spec_hash = known.plan.template_hash = "";
  EXPECT_EQ(known.Make(3).spec_hash, "s");
}

TEST(StatusTest, ALossThatIsExcusedCountsNoMore) {
  Known known;
  known.job.status.failures = {{At(0), {1, 0}, "n1", "HeartbeatTimeout", -1, true},
                               {At(0), {2, 0}, "n2", "HeartbeatTimeout", -1, true}};
  known.plan.excused = {{2, 0}};
  const auto failures = known.Make(1).failures;
  ASSERT_EQ(failures.size(), 2u);
  EXPECT_TRUE(failures[0].charged);
  EXPECT_FALSE(failures[1].charged);
}

TEST(StatusTest, ForgetsLossesThatDoNotCountFirst) {
  Known known;
  for (std::int32_t i = 0; i < 250; ++i) {
    known.plan.failures.push_back({At(i), {i, 0}, "n", "Killed", -1, i % 10 != 0});
  }
  const auto failures = known.Make(300).failures;
  ASSERT_EQ(failures.size(), 200u);
  EXPECT_EQ(failures.back().member, (base::MemberId{249, 0}));
  const auto charged = std::count_if(failures.begin(), failures.end(),
                                     [](const auto& failure) { return failure.charged; });
  EXPECT_EQ(charged, 200);
}

TEST(StatusTest, TheSelectorFindsTheJobsPods) {
  Known known;
  EXPECT_EQ(known.Make(1).selector, "muster.dev/job-name=j");
}

TEST(StatusTest, KeepsTheNewestRescalesAndCountsAll) {
  Known known;
  for (std::uint64_t i = 1; i <= 30; ++i) {
    api::Rescale rescale;
    rescale.epoch = base::Epoch(i);
    known.rescales = {rescale};
    known.job.status = known.Make(static_cast<double>(i));
  }
  EXPECT_EQ(known.job.status.rescale_count, 30);
  ASSERT_EQ(known.job.status.rescales.size(), 20u);
  EXPECT_EQ(known.job.status.rescales.front().epoch, base::Epoch(11));
  EXPECT_EQ(known.job.status.rescales.back().time, At(30));
}

TEST(StatusTest, ACheckpointWithoutATimeGetsTheOneWhenItWasFirstSeen) {
  Known known;
  known.snapshot.record.term = base::Term(1);
  known.snapshot.record.checkpoint = api::CheckpointRef{base::Step(10), base::Epoch(1), "d", {}};
  known.job.status = known.Make(1);
  EXPECT_EQ(known.Make(9).checkpoint->time, At(1));
  known.snapshot.record.checkpoint->digest = "e";
  EXPECT_EQ(known.Make(9).checkpoint->time, At(9));
}

TEST(StatusTest, ProgressAloneIsNoTransition) {
  Known known;
  const auto written = known.Make(1);
  auto next = written;
  next.progress.step = 7;
  next.time_seconds.state = "productive";
  EXPECT_FALSE(IsTransition(written, next));
  for (auto change : std::vector<std::function<void(api::TrainingJobStatus&)>>{
           [](auto& s) { s.state = api::JobState::kFailed; }, [](auto& s) { s.members = 3; },
           [](auto& s) { s.conditions[0].reason = "Finishing"; },
           [](auto& s) { s.rescale_count = 1; }, [](auto& s) { s.failures.emplace_back(); },
           [](auto& s) { s.checkpoint.emplace(); }, [](auto& s) { s.result.emplace(); },
           [](auto& s) { ++s.observed_generation; }, [](auto& s) { s.start_time.reset(); },
           [](auto& s) { s.spec_hash = "s"; }, [](auto& s) { s.template_hash = "t"; }}) {
    next = written;
    change(next);
    EXPECT_TRUE(IsTransition(written, next));
  }
}

TEST(TimeLedgerTest, SumsAddUpToWallTimeAndSurviveTheirHolder) {
  TimeLedger ledger;
  ledger.Enter("starting", At(0));
  ledger.Enter("productive", At(2));
  ledger.Enter("productive", At(3));
  ledger.Enter("", At(7));
  EXPECT_THAT(
      ledger.Totals(At(8)),
      UnorderedElementsAre(Pair("starting", 2.0), Pair("productive", 5.0), Pair("unknown", 1.0)));
  // Its successor begins from what was written, a while later.
  TimeLedger successor(ledger.sums());
  successor.Enter("productive", At(10));
  EXPECT_THAT(
      successor.Totals(At(11)),
      UnorderedElementsAre(Pair("starting", 2.0), Pair("productive", 6.0), Pair("unknown", 3.0)));
  successor.Close(At(12));
  EXPECT_EQ(successor.Totals(At(100)), successor.sums().closed);
}

TEST(TimeLedgerTest, AClockThatWasSetBackTakesNothingAway) {
  TimeLedger ledger;
  ledger.Enter("productive", At(10));
  EXPECT_THAT(ledger.Totals(At(3)), UnorderedElementsAre(Pair("productive", 0.0)));
}

TEST(ProgressTest, SpeedAndTimeLeftComeFromTheWindow) {
  ProgressMeter meter;
  membership::StepCommitted step;
  step.tokens = 100;
  step.loss = 2.5;
  for (int i = 1; i <= 5; ++i) {
    step.step = base::Step(i);
    meter.OnStep(base::Time(std::chrono::milliseconds(500 * i)), step);
  }
  meter.OnHeldOut({base::Step(5), 2.25});
  const auto progress = meter.Make({}, 11, base::Step(5), At(0));
  EXPECT_EQ(progress.step, 5);
  EXPECT_EQ(progress.loss, "2.5");
  EXPECT_EQ(progress.held_out_loss, "2.25");
  EXPECT_DOUBLE_EQ(progress.tokens_per_second, 200);
  EXPECT_EQ(progress.estimated_completion_time, At(3));
  EXPECT_EQ(meter.tokens_total(), 500);
  meter.OnRolledBack(base::Step(0));
  EXPECT_EQ(meter.Make({}, 11, base::Step(0), At(0)).estimated_completion_time, std::nullopt);
}

membership::StepCommitted Committed(std::int64_t step) {
  membership::StepCommitted committed;
  committed.step = base::Step(step);
  committed.tokens = 100;
  return committed;
}

TEST(ProgressTest, TokensGoOnOverCoordinatorsAndRollBacksCountAgain) {
  ProgressMeter first;
  EXPECT_EQ(first.tokens_total(), std::nullopt);
  for (int step = 1; step <= 4; ++step) first.OnStep({}, Committed(step));
  EXPECT_EQ(first.tokens_total(), 400);
  // It told the members of steps 5 and 6, and died before it had written that down.
  ProgressMeter second(base::Step(4));
  EXPECT_EQ(second.tokens_total(), std::nullopt) << "nothing is better than a number that falls";
  second.OnStep({}, Committed(7));
  EXPECT_EQ(second.tokens_total(), 700);
  second.OnRolledBack(base::Step(5));
  second.OnStep({}, Committed(6));
  EXPECT_EQ(second.tokens_total(), 800);
}

TEST(ProgressTest, GoingBackIsNewsOnlyBelowWhatWasTold) {
  ProgressMeter meter(base::Step(12));
  EXPECT_FALSE(meter.OnRolledBack(base::Step(12))) << "a run that goes on from its checkpoint";
  EXPECT_TRUE(meter.OnRolledBack(base::Step(8)));
  EXPECT_FALSE(meter.OnRolledBack(base::Step(8))) << "once is enough";
  for (int step = 9; step <= 10; ++step) meter.OnStep({}, Committed(step));
  EXPECT_TRUE(meter.OnRolledBack(base::Step(8)));
}

TEST(ProgressTest, WhatAnEarlierCoordinatorWroteHoldsUntilSomethingIsKnown) {
  api::Progress written;
  written.loss = "3.5";
  written.held_out_loss = "3.25";
  const auto progress = ProgressMeter().Make(written, 10, base::Step(4), At(0));
  EXPECT_EQ(progress.loss, "3.5");
  EXPECT_EQ(progress.held_out_loss, "3.25");
  EXPECT_EQ(progress.step, 4);
}

}  // namespace
}  // namespace muster::app
