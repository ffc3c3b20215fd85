// State and conditions: what people and programs read of a job.
#include "operator/api/conditions.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "operator/job/plan.h"
#include "tests/operator/job/observed_builder.h"

namespace muster::job {
namespace {

using api::JobState;

struct Case {
  std::string name;
  std::function<void(ObservedBuilder&)> set;
  JobState state;
  std::map<std::string, std::string> reasons;  // of conditions that are True, besides Admitted
};

std::map<std::string, std::string> TrueConditions(const Plan& plan) {
  std::map<std::string, std::string> out;
  for (const api::Condition& condition : plan.conditions) {
    EXPECT_FALSE(condition.reason.empty()) << condition.type;
    EXPECT_FALSE(condition.message.empty()) << condition.type;
    if (condition.status == "True" && condition.type != "Admitted") {
      out[condition.type] = condition.reason;
    }
  }
  return out;
}

TEST(ConditionsTest, FollowFromWhatIsObserved) {
  const std::vector<Case> cases = {
      {"nothing yet", [](auto&) {}, JobState::kPending, {}},
      {"processes come up", [](auto& o) { o.Runs(0); }, JobState::kStarting, {}},
      {"everybody trains",
       [](auto& o) { o.Trains(0).Trains(1)->membership.reached = 2; },
       JobState::kRunning,
       {{"Running", "Training"}}},
      {"one is missing",
       [](auto& o) { o.Trains(0).FailedBefore({1, 0}, 0)->membership.reached = 2; },
       JobState::kDegraded,
       {{"Running", "Training"}, {"Degraded", "MembersMissing"}}},
      {"below the minimum",
       [](auto& o) { o.Trains(0)->membership.below_min_since = At(0); },
       JobState::kDegraded,
       {{"Degraded", "BelowMin"}}},
      {"the wish has changed",
       [](auto& o) { o.Trains(0)->membership.reached = 1; },
       JobState::kResizing,
       {{"Running", "Training"}, {"Resizing", "TargetChanged"}}},
      {"the disk is full",
       [](auto& o) {
         o.Trains(0).Trains(1)->membership.checkpoint_problem = Verdict{"NoSpaceLeft", "m"};
       },
       JobState::kRunning,
       {{"Running", "Training"}, {"Degraded", "NoSpaceLeft"}}},
      {"the last step is committed",
       [](auto& o) { o.Trains(0).Trains(1)->membership.finishing = true; },
       JobState::kRunning,
       {{"Running", "Finishing"}}},
      {"success",
       [](auto& o) { o.Trains(0).Trains(1)->membership.succeeded = true; },
       JobState::kSucceeded,
       {{"Succeeded", "AllStepsCommitted"}}},
      {"failure",
       [](auto& o) { o.Trains(0)->membership.failed = Verdict{"Invariant", "m"}; },
       JobState::kFailed,
       {{"Failed", "Invariant"}}},
      {"drained",
       [](auto& o) {
         o.Trains(0)->membership.drained = true;
         o->job.spec.suspend = true;
       },
       JobState::kSuspended,
       {{"Suspended", "Drained"}}},
  };
  for (const Case& c : cases) {
    ObservedBuilder o(2);
    c.set(o);
    const Plan plan = MakePlan(*o, At(1));
    EXPECT_EQ(plan.state, c.state) << c.name;
    EXPECT_EQ(TrueConditions(plan), c.reasons) << c.name;
  }
}

struct Trouble {
  std::string name;
  std::function<void(ObservedBuilder&)> set;
  std::string reason;
  std::vector<std::string> words;  // of the message: whose, what the cluster said, what to do
};

TEST(ConditionsTest, WhatKeepsPodsFromRunningIsNamedWithWhatToDo) {
  const auto waits = [](const char* reason) {
    return [reason](ObservedBuilder& o) {
      o.Waits(1);
      o->pods.back().waiting_reason = reason;
      o->pods.back().waiting_message = "the kubelet's words";
    };
  };
  const auto refused = [](const char* reason) {
    return [reason](ObservedBuilder& o) { o.Refused({1, 0}, reason, 1, 0); };
  };
  const std::vector<Trouble> troubles = {
      {"template",
       refused("TemplateRefused"),
       "TemplateRefused",
       {"j-1-", "the server's words", "spec.workers.template", "spec.suspend"}},
      {"namespace",
       refused("NamespaceTerminating"),
       "NamespaceTerminating",
       {"the server's words", "namespace"}},
      {"forbidden", refused("PodsForbidden"), "PodsForbidden", {"the server's words", "forbids"}},
      {"quota",
       refused("QuotaExceeded"),
       "QuotaExceeded",
       {"j-1-", "the server's words", "quota", "spec.workers.replicas"}},
      {"image",
       waits("ImagePullBackOff"),
       "ImagePullFailed",
       {"pod-1.0", "the kubelet's words", "imagePullSecrets"}},
      {"image name", waits("InvalidImageName"), "ImagePullFailed", {"InvalidImageName"}},
      {"configuration",
       waits("CreateContainerConfigError"),
       "ContainerCannotStart",
       {"pod-1.0", "the kubelet's words", "Secrets"}},
      {"no room",
       [](auto& o) { o.Waits(1).Waits(2)->pods.back().unschedulable = "0/3 nodes are available"; },
       "Unschedulable",
       {"1 pod", "0/3 nodes are available", "spec.workers.replicas"}},
      {"crashes",
       [](auto& o) { o.FailedBefore({1, 0}, -20).FailedBefore({1, 1}, -1); },
       "WorkersCrash",
       {"1.1", "2 in a row", "docs/exit-codes.md"}},
  };
  for (const Trouble& trouble : troubles) {
    for (const bool trains : {false, true}) {
      ObservedBuilder o(3);
      o.OnCluster();
      if (trains) o.Trains(0);
      trouble.set(o);
      const Plan plan = MakePlan(*o, At(0));
      const auto* degraded = api::FindCondition(plan.conditions, "Degraded");
      EXPECT_EQ(degraded->status, "True") << trouble.name;
      EXPECT_EQ(degraded->reason, trouble.reason) << trouble.name;
      for (const std::string& word : trouble.words) {
        EXPECT_NE(degraded->message.find(word), std::string::npos)
            << trouble.name << ": " << degraded->message;
      }
      const auto* running = api::FindCondition(plan.conditions, "Running");
      EXPECT_EQ(running->reason, trains ? "Training" : trouble.reason) << trouble.name;
      const bool admitted = api::IsTrue(plan.conditions, "Admitted");
      EXPECT_EQ(admitted, trouble.reason != "TemplateRefused") << trouble.name;
    }
  }
}

TEST(ConditionsTest, WhatIsOnItsWayIsNoTrouble) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Waits(1);
  o->pods.back().waiting_reason = "ContainerCreating";
  EXPECT_EQ(TrueConditions(MakePlan(*o, At(0))),
            (std::map<std::string, std::string>{{"Running", "Training"},
                                                {"Degraded", "MembersMissing"}}));
}

TEST(ConditionsTest, ASpareWithoutRoomIsSaidAndDegradesNobody) {
  ObservedBuilder o(1);
  o.OnCluster().Trains(0).Waits(1);
  o->job.spec.workers.spares = 1;
  o->pods.back().unschedulable = "0/3 nodes";
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_EQ(plan.state, JobState::kRunning);
  const auto* degraded = api::FindCondition(plan.conditions, "Degraded");
  EXPECT_EQ(degraded->status, "False");
  EXPECT_NE(degraded->message.find("0/3 nodes"), std::string::npos) << degraded->message;
}

TEST(ConditionsTest, AJobThatGrowsSaysWhatItWaitsFor) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0)->membership.reached = 1;
  o.Waits(1);
  o->pods.back().unschedulable = "0/3 nodes";
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_EQ(plan.state, JobState::kResizing);
  EXPECT_EQ(
      TrueConditions(plan),
      (std::map<std::string, std::string>{
          {"Running", "Training"}, {"Degraded", "Unschedulable"}, {"Resizing", "TargetChanged"}}));
}

TEST(ConditionsTest, AllTypesAreThereFromTheFirstPlanOn) {
  for (const bool on_cluster : {false, true}) {
    ObservedBuilder o(2);
    if (on_cluster) o.OnCluster();
    const Plan plan = MakePlan(*o, At(0));
    ASSERT_EQ(plan.conditions.size(), std::size(api::kConditionTypes));
    for (std::size_t i = 0; i < plan.conditions.size(); ++i) {
      EXPECT_EQ(plan.conditions[i].type, api::kConditionTypes[i]);
      EXPECT_NE(plan.conditions[i].status, "Unknown");
      EXPECT_FALSE(plan.conditions[i].reason.empty() || plan.conditions[i].message.empty());
    }
  }
}

TEST(ConditionsTest, AWishToFailIsNoFailureBeforeMembershipSaysSo) {
  ObservedBuilder o(1);
  o.Runs(0).Exited(74);
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_TRUE(plan.fail_job);
  EXPECT_NE(plan.state, JobState::kFailed);
}

TEST(ConditionsTest, ATerminalStateKeepsItsWords) {
  ObservedBuilder o(1);
  o->job.status.state = JobState::kFailed;
  o->job.status.conditions = {{"Failed", "True", "BadData", "no file", At(0)}};
  const Plan plan = MakePlan(*o, At(1));
  EXPECT_EQ(TrueConditions(plan), (std::map<std::string, std::string>{{"Failed", "BadData"}}));
}

}  // namespace
}  // namespace muster::job
