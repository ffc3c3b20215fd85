// State and conditions: what people and programs read of a job.
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
