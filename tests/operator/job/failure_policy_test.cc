// Which losses are charged, which end the job, and with which words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/api/messages.h"
#include "operator/job/plan.h"
#include "tests/operator/job/observed_builder.h"

namespace muster::job {
namespace {

using api::ExitCode;
using api::FailureAction;
using testing::HasSubstr;
using testing::IsEmpty;

struct Loss {
  std::string reason;
  bool charged = false;
  std::string verdict;  // of the job; empty: it goes on
  friend bool operator==(const Loss&, const Loss&) = default;
};

void PrintTo(const Loss& loss, std::ostream* out) {
  *out << loss.reason << (loss.charged ? " charged" : " excused") << " verdict '" << loss.verdict
       << "'";
}

Loss Judge(ObservedBuilder& o) {
  const Plan plan = MakePlan(*o, At(0));
  Loss loss;
  if (!plan.failures.empty()) {
    loss.reason = plan.failures[0].reason;
    loss.charged = plan.failures[0].charged;
  }
  if (plan.fail_job) loss.verdict = plan.fail_job->reason;
  return loss;
}

TEST(FailurePolicyTest, JudgesExitCodesOfATrainingJob) {
  const std::vector<std::pair<ExitCode, Loss>> cases = {
      {ExitCode::kInternal, {"Exited", true, ""}},
      {ExitCode::kFenced, {"Fenced", false, ""}},
      {ExitCode::kRefused, {"Exited", true, "Refused"}},
      {ExitCode::kBadConfiguration, {"Exited", true, "BadConfiguration"}},
      {ExitCode::kData, {"Exited", true, "BadData"}},
      {ExitCode::kNoDevice, {"Exited", true, ""}},
      {ExitCode::kWatchdog, {"Exited", true, ""}},
      {ExitCode::kOutOfMemory, {"Exited", true, ""}},
      {ExitCode::kJobFailed, {"Exited", false, ""}},
      {ExitCode::kStartsAgain, {"", false, ""}},
  };
  for (const auto& [code, wanted] : cases) {
    ObservedBuilder o(2);
    o.Trains(0).Runs(1).Exited(static_cast<int>(code));
    EXPECT_EQ(Judge(o), wanted) << static_cast<int>(code);
  }
}

TEST(FailurePolicyTest, OneThatStartsAgainIsReplacedAndNoFailureWhateverTheRulesSay) {
  ObservedBuilder o(2);
  o.Trains(0).Runs(1).Exited(static_cast<int>(ExitCode::kStartsAgain));
  o->job.spec.failure_policy.rules = {{api::FailureAction::kFailJob, {79}, ""}};
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_TRUE(plan.failures.empty());
  EXPECT_FALSE(plan.fail_job);
  ASSERT_EQ(plan.creates.size(), 1u);
  EXPECT_EQ(plan.creates[0].member, (base::MemberId{1, 1}));
}

TEST(FailurePolicyTest, WhatNeverFittedWillNotFitLater) {
  for (auto [code, reason] : {std::pair{ExitCode::kOutOfMemory, "OutOfMemory"},
                              std::pair{ExitCode::kNoDevice, "NoDevice"}}) {
    ObservedBuilder o(1);
    o.Runs(0).Exited(static_cast<int>(code));
    EXPECT_EQ(Judge(o).verdict, reason);
  }
}

TEST(FailurePolicyTest, TheVerdictHasTheWorkersOwnWordsAndItsLastLines) {
  ObservedBuilder o(1);
  o.Runs(0).Exited(static_cast<int>(ExitCode::kData));
  o->pods[0].message = "line one\nline two";
  o->membership.last_words[{0, 0}] = {74, "/data holds no file"};
  const Plan plan = MakePlan(*o, At(0));
  ASSERT_TRUE(plan.fail_job);
  EXPECT_EQ(plan.fail_job->message,
            "worker 0.0 exited with code 74: /data holds no file\nline one\nline two");
  // The evidence stays, so that a successor of this coordinator decides the same.
  EXPECT_THAT(plan.deletes, IsEmpty());
  EXPECT_THAT(plan.creates, IsEmpty());
}

TEST(FailurePolicyTest, AKilledWorkerIsChargedAndALostNodeIsNot) {
  ObservedBuilder killed(2);
  killed.Trains(0).Runs(1).Killed(9);
  EXPECT_EQ(Judge(killed), (Loss{"Killed", true, ""}));
  ObservedBuilder node(2);
  node.Trains(0).Runs(1).Killed(9);
  node->pods[1].infrastructure_loss = true;
  EXPECT_EQ(Judge(node), (Loss{"NodeLost", false, ""}));
}

TEST(FailurePolicyTest, AnEvictionIsChargedUnderMembershipsReason) {
  ObservedBuilder o(2);
  o.Trains(0).Runs(1).Evicted("Silent");
  EXPECT_EQ(Judge(o), (Loss{"Silent", true, ""}));
}

// A member of the view that fails is evicted at its word, and killed before it has ended: a file that
// it needs again is gone, and so it would be for every replacement.
TEST(FailurePolicyTest, AnAnnouncedCodeThatEndsTheJobCountsBeforeTheProcessHasEnded) {
  const auto judged = [](ExitCode code, std::vector<api::FailureRule> rules = {}) {
    ObservedBuilder o(2);
    o.Trains(0).Runs(1).Evicted("BadData").HadView();
    o->job.spec.failure_policy.rules = std::move(rules);
    o->membership.last_words[{1, 0}] = {static_cast<int>(code), "/model is gone"};
    return Judge(o);
  };
  EXPECT_EQ(judged(ExitCode::kData), (Loss{"BadData", true, "BadData"}));
  EXPECT_EQ(judged(ExitCode::kRefused), (Loss{"BadData", true, "Refused"}));
  EXPECT_EQ(judged(ExitCode::kInternal), (Loss{"BadData", true, ""}));
  EXPECT_EQ(judged(ExitCode::kOutOfMemory), (Loss{"BadData", true, ""}));
  EXPECT_EQ(judged(ExitCode::kData, {{FailureAction::kReplace, {74}, ""}}),
            (Loss{"BadData", true, ""}))
      << "the job's own rules come first";
  EXPECT_EQ(judged(ExitCode::kInternal, {{FailureAction::kFailJob, {70}, ""}}),
            (Loss{"BadData", true, "FailurePolicy"}));
}

// Who was cut off hears of its eviction and ends within a second or two, before its kubelet's word
// was waited for: the loss keeps the reason for which it was evicted, and is charged.
TEST(FailurePolicyTest, AnEvictedProcessThatEndsItselfIsStillAnEviction) {
  const int fenced = static_cast<int>(ExitCode::kFenced);
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Runs(1).Exited(fenced).EvictedAt("CannotReach", 0);
  EXPECT_EQ(Judge(o), (Loss{"CannotReach", true, ""}));
  EXPECT_EQ(MakePlan(*o, At(0)).failures[0].exit_code, fenced);
  ObservedBuilder node(2);
  node.OnCluster().Trains(0).Runs(1).Exited(fenced).EvictedAt("Silent", 0);
  node->pods[1].infrastructure_loss = true;
  EXPECT_EQ(Judge(node), (Loss{"Silent", false, ""}));
  ObservedBuilder ignored(2);
  ignored->job.spec.failure_policy.rules = {{FailureAction::kIgnore, {fenced}, ""}};
  ignored.OnCluster().Trains(0).Runs(1).Exited(fenced).EvictedAt("Silent", 0);
  EXPECT_EQ(Judge(ignored), (Loss{"Silent", false, ""}));
}

TEST(FailurePolicyTest, TheFirstMatchingRuleDecides) {
  const api::FailureRule ignore{FailureAction::kIgnore, {70}, ""};
  const api::FailureRule fail{FailureAction::kFailJob, {}, ""};
  const api::FailureRule replace{FailureAction::kReplace, {72, 74}, ""};
  const api::FailureRule on_condition{FailureAction::kIgnore, {}, "DisruptionTarget"};
  struct Case {
    std::vector<api::FailureRule> rules;
    int code;
    Loss wanted;
  };
  const std::vector<Case> cases = {
      {{ignore, fail}, 70, {"Exited", false, ""}},
      {{ignore, fail}, 71, {"Fenced", false, "FailurePolicy"}},
      {{fail, ignore}, 70, {"Exited", true, "FailurePolicy"}},
      // A rule is the job's own word: it also overrules what an exit code means.
      {{replace}, 74, {"Exited", true, ""}},
      {{replace}, 73, {"Exited", true, "BadConfiguration"}},
      {{on_condition}, 70, {"Exited", true, ""}},
  };
  for (const Case& c : cases) {
    ObservedBuilder o(2);
    o->job.spec.failure_policy.rules = c.rules;
    o.Trains(0).Runs(1).Exited(c.code);
    EXPECT_EQ(Judge(o), c.wanted) << c.code;
  }
  ObservedBuilder o(2);
  o->job.spec.failure_policy.rules = {on_condition};
  o.Trains(0).Runs(1).Exited(70);
  o->pods[1].conditions = {"DisruptionTarget"};
  EXPECT_EQ(Judge(o), (Loss{"Exited", false, ""}));
}

TEST(FailurePolicyTest, ASignalIsTheCodeThatShellsAndKubectlShow) {
  const api::FailureRule fail{FailureAction::kFailJob, {137, 143}, ""};
  for (const auto& [signal, verdict] :
       {std::pair{9, "FailurePolicy"}, std::pair{15, "FailurePolicy"}, std::pair{11, ""}}) {
    ObservedBuilder o(2);
    o->job.spec.failure_policy.rules = {fail};
    o.Trains(0).Runs(1).Killed(signal);
    EXPECT_EQ(Judge(o), (Loss{"Killed", true, verdict})) << signal;
  }
  // The number of a signal is no exit code.
  ObservedBuilder o(2);
  o->job.spec.failure_policy.rules = {{FailureAction::kFailJob, {9}, ""}};
  o.Trains(0).Runs(1).Killed(9);
  EXPECT_EQ(Judge(o).verdict, "");
}

TEST(FailurePolicyTest, WhoWasAskedToGoAndTookTooLongIsNotCharged) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Runs(1).Deleted(0).Killed(9);
  EXPECT_EQ(Judge(o), (Loss{"Killed", false, ""}));
  ObservedBuilder crashed(2);
  crashed.OnCluster().Trains(0).Runs(1).Deleted(0).Exited(70);
  EXPECT_EQ(Judge(crashed), (Loss{"Exited", true, ""}));
}

TEST(FailurePolicyTest, ASilentLossIsTakenBackWhenItsNodeTurnsOutToBeLost) {
  struct Case {
    const char* reason;
    double age;
    bool ready;
    bool excused;
  };
  for (const Case& c :
       {Case{"HeartbeatTimeout", 60, false, true}, Case{"WorkerKilled", 60, false, true},
        Case{"HeartbeatTimeout", 60, true, false}, Case{"Exited", 60, false, false},
        Case{"HeartbeatTimeout", 601, false, false}}) {
    ObservedBuilder o(2);
    o.OnCluster().Trains(0);
    o->job.status.failures = {{At(0), {1, 0}, "n1", c.reason, -1, true}};
    o->nodes["n1"].name = "n1";
    o->nodes["n1"].ready = c.ready;
    const Plan plan = MakePlan(*o, At(c.age));
    std::vector<base::MemberId> excused;
    if (c.excused) excused.push_back({1, 0});
    EXPECT_EQ(plan.excused, excused) << c.reason << " " << c.age << " " << c.ready;
    EXPECT_THAT(plan.failures, IsEmpty());
  }
}

TEST(FailurePolicyTest, ARackWithoutPowerDoesNotEndTheJob) {
  ObservedBuilder o(8);
  o->job.spec.failure_policy.max_replacements = 2;
  o.OnCluster().Trains(0);
  for (std::int32_t i = 1; i < 8; ++i) {
    o->job.status.failures.push_back(
        {At(0), {i, 0}, "n" + std::to_string(i), "HeartbeatTimeout", -1, true});
    o->nodes["n" + std::to_string(i)].name = "n" + std::to_string(i);
  }
  Plan plan = MakePlan(*o, At(89));
  EXPECT_EQ(plan.fail_job, std::nullopt);
  EXPECT_EQ(plan.look_again, At(90));
  // Nodes that are still there when theirs should have been missed: it was the workers.
  plan = MakePlan(*o, At(90));
  ASSERT_TRUE(plan.fail_job);
  EXPECT_EQ(plan.fail_job->reason, "TooManyReplacements");
  for (auto& [name, node] : o->nodes) node.gone = true;
  plan = MakePlan(*o, At(90));
  EXPECT_EQ(plan.fail_job, std::nullopt);
  EXPECT_EQ(plan.excused.size(), 7u);
}

TEST(FailurePolicyTest, WhatAKubeletRefusesAgainAndAgainWaitsThoughNobodyIsCharged) {
  ObservedBuilder o(1);
  o.OnCluster().HadView();
  o.FailedBefore({0, 0}, -4, false).FailedBefore({0, 1}, -2, false).FailedBefore({0, 2}, 0, false);
  EXPECT_THAT(MakePlan(*o, At(1.9)).creates, IsEmpty());
  EXPECT_EQ(MakePlan(*o, At(2)).creates.size(), 1u);
}

TEST(FailurePolicyTest, CountsReplacementsInTheWindowOnly) {
  ObservedBuilder o(4);
  o->job.spec.failure_policy.max_replacements = 2;
  o->job.spec.failure_policy.window = std::chrono::seconds(60);
  o.Trains(0).HadView();
  o.FailedBefore({1, 0}, -61).FailedBefore({2, 0}, -30).FailedBefore({3, 0}, -20, false);
  o.Runs(1, 1).Killed(9);
  EXPECT_EQ(Judge(o).verdict, "");
  o.Runs(2, 1).Killed(9);
  EXPECT_EQ(Judge(o).verdict, "TooManyReplacements");
}

TEST(FailurePolicyTest, RemembersALossOnce) {
  ObservedBuilder o(2);
  o.Trains(0).Runs(1).Killed(9).FailedBefore({1, 0}, 0);
  EXPECT_THAT(MakePlan(*o, At(0)).failures, IsEmpty());
}

TEST(FailurePolicyTest, AFailureSaysWhoWhereWhenAndHow) {
  ObservedBuilder o(2);
  o.Trains(0).Runs(1).Exited(70, -3);
  const Plan plan = MakePlan(*o, At(0));
  ASSERT_EQ(plan.failures.size(), 1u);
  EXPECT_EQ(plan.failures[0], (api::FailureEntry{At(-3), {1, 0}, "node-0", "Exited", 70, true}));
}

TEST(FailurePolicyTest, WorkersThatNeverStartEndTheJob) {
  ObservedBuilder o(1);
  for (int i = 0; i < 5; ++i) o.FailedBefore({0, i}, -10.0 * (5 - i));
  o.Runs(0, 5).Exited(70);
  EXPECT_EQ(Judge(o).verdict, "WorkersCrash");
  // The same after a view: machines die, training goes on.
  o.HadView();
  EXPECT_EQ(Judge(o).verdict, "");
}

}  // namespace
}  // namespace muster::job
