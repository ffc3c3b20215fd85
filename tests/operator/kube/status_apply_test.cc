// What the reconcile applies: the status without the record.
#include "operator/kube/status_apply.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace muster::kube {
namespace {

using Json = nlohmann::json;

api::TrainingJobStatus WithEverything() {
  api::TrainingJobStatus status;
  status.observed_generation = 4;
  status.state = api::JobState::kRunning;
  status.conditions.push_back({"Running", "True", "Training", "3 of 3 members train", {}});
  status.members = 3;
  status.desired_members = 3;
  status.membership.emplace();
  status.checkpoint.emplace();
  status.checkpoint->digest = "ab";
  status.result.emplace();
  status.result->digest = "cd";
  status.kernel_family = "SkylakeX";
  return status;
}

TEST(StatusApplyTest, NeverNamesWhatPersistAloneWrites) {
  api::TrainingJob job;
  job.name = "licences";
  job.ns = "team";
  job.uid = "u-1";
  const Json body = Json::parse(StatusApplyBody(job, WithEverything()));
  EXPECT_EQ(body["apiVersion"], "muster.dev/v1alpha1");
  EXPECT_EQ(body["kind"], "TrainingJob");
  EXPECT_EQ(body["metadata"], Json({{"name", "licences"}, {"namespace", "team"}, {"uid", "u-1"}}));
  for (const char* field : {"membership", "checkpoint", "result", "kernelFamily"}) {
    EXPECT_FALSE(body["status"].contains(field)) << field;
  }
  EXPECT_EQ(body["status"]["state"], "Running");
  EXPECT_EQ(body["status"]["members"], "3/3");
  EXPECT_EQ(body["status"]["observedGeneration"], 4);
  EXPECT_EQ(body["status"]["conditions"].size(), 1u);
  EXPECT_FALSE(body.contains("spec"));
}

TEST(StatusApplyTest, AnotherRecordAloneIsNoOtherStatus) {
  api::TrainingJobStatus status = WithEverything();
  api::TrainingJobStatus other = status;
  other.membership->term = base::Term(7);
  other.checkpoint.reset();
  EXPECT_TRUE(SameApplied(status, other));
  other.members = 2;
  EXPECT_FALSE(SameApplied(status, other));
}

}  // namespace
}  // namespace muster::kube
