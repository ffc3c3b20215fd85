// Jobs that may not have pods now: refusals, a changed spec, suspension, and the end of a job.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/api/conditions.h"
#include "operator/job/plan.h"
#include "operator/job/rules.h"
#include "tests/operator/job/acts.h"
#include "tests/operator/job/observed_builder.h"

namespace muster::job {
namespace {

using base::MemberId;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const api::Condition& Of(const Plan& plan, const char* type) {
  static const api::Condition kNone;
  const api::Condition* found = api::FindCondition(plan.conditions, type);
  return found == nullptr ? kNone : *found;
}

// As the status that was written last.
void Write(ObservedBuilder& o, const Plan& plan, double at) {
  for (api::Condition condition : plan.conditions) {
    condition.last_transition_time = At(at);
    api::SetCondition(o->job.status.conditions, condition);
  }
  o->job.status.state = plan.state;
  if (!plan.started) return;
  o->job.status.spec_hash = plan.spec_hash;
  o->job.status.template_hash = plan.template_hash;
}

// ---- refusals

TEST(HoldTest, ARefusalWaitsLongerEachTimeAndThenOnePodTries) {
  struct Case {
    std::int32_t times;
    double seconds;
  };
  for (const Case& c : {Case{1, 1}, Case{2, 2}, Case{3, 4}, Case{7, 60}, Case{50, 60}}) {
    ObservedBuilder o(4);
    o.OnCluster().Refused({2, 0}, "QuotaExceeded", c.times, 0).Waits(0);
    const Plan early = MakePlan(*o, At(c.seconds - 0.1));
    EXPECT_THAT(early.creates, IsEmpty()) << c.times;
    EXPECT_EQ(early.look_again, At(c.seconds)) << c.times;
    EXPECT_EQ(Decide(o, c.seconds).creates, (std::vector<MemberId>{{1, 0}})) << c.times;
  }
}

TEST(HoldTest, TheRestIsCreatedOnceNothingIsRefusedAnyMore) {
  ObservedBuilder o(3);
  o.OnCluster().Waits(0);
  EXPECT_EQ(Decide(o).creates, (std::vector<MemberId>{{1, 0}, {2, 0}}));
}

// ---- what an update may not change

TEST(AdmissionTest, TheFirstPlanStartsNothingAndTheFirstPodDoes) {
  ObservedBuilder o(1);
  o.OnCluster();
  EXPECT_FALSE(MakePlan(*o, At(0)).started);
  o.Waits(0);
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_TRUE(plan.started);
  EXPECT_EQ(plan.spec_hash, "spec-1");
  EXPECT_EQ(plan.template_hash, "template-1");
}

TEST(AdmissionTest, OneMachineStartsAtOnceAndHashesNothing) {
  ObservedBuilder o(1);
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_TRUE(plan.started);
  EXPECT_EQ(plan.spec_hash + plan.template_hash, "");
}

TEST(AdmissionTest, AnotherTemplateOfARunningJobMakesNoPods) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Trains(1);
  Write(o, MakePlan(*o, At(0)), 0);
  o->template_hash = "template-2";
  Plan plan = MakePlan(*o, At(1));
  EXPECT_EQ(Of(plan, "Admitted").status, "False");
  EXPECT_EQ(Of(plan, "Admitted").reason, "TemplateChanged");
  EXPECT_EQ(Of(plan, "Degraded").status, "False") << "everybody trains";
  EXPECT_EQ(plan.template_hash, "template-1");
  Write(o, plan, 1);
  // A loss is not made good by a pod of another kind, whatever has become of the old ones.
  o->pods.clear();
  o->membership.members.clear();
  o->membership.size = 0;
  plan = MakePlan(*o, At(2));
  EXPECT_THAT(plan.creates, IsEmpty());
  EXPECT_EQ(Of(plan, "Degraded").reason, "TemplateChanged");
  EXPECT_THAT(Of(plan, "Degraded").message, HasSubstr("spec.workers.template"));
  Write(o, plan, 2);
  o->template_hash = "template-1";
  plan = MakePlan(*o, At(3));
  EXPECT_EQ(plan.creates.size(), 2u);
  EXPECT_EQ(Of(plan, "Admitted").status, "True");
}

TEST(AdmissionTest, ASuspendedJobTakesAnotherTemplateAlsoInTheUpdateThatEndsIt) {
  for (const bool still_suspended : {true, false}) {
    ObservedBuilder o(1);
    o.OnCluster().Trains(0);
    Write(o, MakePlan(*o, At(0)), 0);
    o->job.spec.suspend = true;
    Write(o, MakePlan(*o, At(1)), 1);
    o->job.spec.suspend = still_suspended;
    o->template_hash = "template-2";
    const Plan plan = MakePlan(*o, At(2));
    EXPECT_EQ(plan.template_hash, "template-2");
    EXPECT_EQ(Of(plan, "Admitted").status, "True");
  }
}

TEST(AdmissionTest, AnotherSpecAfterTheStartIsNotGoneOnWith) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0);
  Write(o, MakePlan(*o, At(0)), 0);
  o->spec_hash = "spec-2";
  const Plan plan = MakePlan(*o, At(1));
  EXPECT_EQ(Of(plan, "Admitted").reason, "SpecChanged");
  EXPECT_THAT(plan.creates, IsEmpty());
  EXPECT_EQ(plan.spec_hash, "spec-1");
  EXPECT_FALSE(plan.new_reign);
}

TEST(AdmissionTest, ASpecThatChangesBeforeTheStartWantsANewReign) {
  ObservedBuilder o(2);
  o.OnCluster();
  Write(o, MakePlan(*o, At(0)), 0);
  o->spec_hash = "spec-2";
  const Plan plan = MakePlan(*o, At(1));
  EXPECT_TRUE(plan.new_reign);
  EXPECT_THAT(plan.creates, IsEmpty());
  EXPECT_EQ(Of(plan, "Admitted").status, "True");
}

TEST(AdmissionTest, SeveralProcessesOfAWorkerMakeOnePodForEachWorker) {
  for (const std::int64_t gpus : {0, 8}) {
    ObservedBuilder o(2);
    o.OnCluster();
    o->job.spec.workers.processes_per_worker = 8;
    o->worker_gpus = gpus;
    const Plan plan = MakePlan(*o, At(0));
    EXPECT_EQ(Of(plan, "Admitted").reason, "Accepted") << gpus;
    EXPECT_THAT(plan.creates, SizeIs(2)) << gpus;
  }
  ObservedBuilder o(2);
  o.OnCluster();
  o->job.spec.workers.processes_per_worker = 8;
  o->worker_gpus = 1;
  EXPECT_EQ(Of(MakePlan(*o, At(0)), "Admitted").reason, "GpuMismatch");
}

TEST(AdmissionTest, AWorkerAsksForOneGpuForEachOfItsProcesses) {
  for (const std::int64_t gpus : {0, 1}) {
    ObservedBuilder o(2);
    o.OnCluster();
    o->worker_gpus = gpus;
    EXPECT_EQ(Of(MakePlan(*o, At(0)), "Admitted").reason, "Accepted") << gpus;
  }
  ObservedBuilder o(2);
  o.OnCluster();
  o->worker_gpus = 4;
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_EQ(Of(plan, "Admitted").reason, "GpuMismatch");
  EXPECT_EQ(
      Of(plan, "Admitted").message,
      "spec.workers.template asks for 4 of nvidia.com/gpu for each worker, and "
      "spec.workers.processesPerWorker is 1; each process drives one GPU, so 1 is allowed, or "
      "none to train on CPUs");
  EXPECT_EQ(Of(plan, "Running").reason, "GpuMismatch");
  EXPECT_THAT(plan.creates, IsEmpty());
}

TEST(AdmissionTest, ANumberOfGpusThatCannotBeReadIsSaidInItsOwnWords) {
  ObservedBuilder o(1);
  o.OnCluster();
  o->worker_gpus_problem = "limits[nvidia.com/gpu] is \"8k\"";
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_EQ(Of(plan, "Admitted").reason, "GpuMismatch");
  EXPECT_EQ(Of(plan, "Admitted").message, "limits[nvidia.com/gpu] is \"8k\"");
  EXPECT_THAT(plan.creates, IsEmpty());
}

TEST(AdmissionTest, AJobThatCannotBeReadHasAllConditionsToo) {
  api::TrainingJob job;
  const Plan plan = MakeUnreadablePlan(job, "spec.training.slots: 'many' is not a number");
  ASSERT_EQ(plan.conditions.size(), std::size(api::kConditionTypes));
  for (std::size_t i = 0; i < plan.conditions.size(); ++i) {
    EXPECT_EQ(plan.conditions[i].type, api::kConditionTypes[i]);
    EXPECT_EQ(plan.conditions[i].reason, "Unreadable");
    EXPECT_THAT(plan.conditions[i].message, HasSubstr("spec.training.slots"));
  }
  EXPECT_EQ(plan.conditions[0].status, "False");
  EXPECT_EQ(plan.conditions[1].status, "Unknown");
  EXPECT_FALSE(plan.started);
}

// ---- suspend

TEST(SuspendTest, AJobThatWasNeverBegunIsSuspendedAtOnce) {
  ObservedBuilder o(2);
  o.OnCluster();
  o->job.spec.suspend = true;
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_EQ(ActsOf(plan), Acts{});
  EXPECT_FALSE(plan.started);
  EXPECT_EQ(plan.state, api::JobState::kSuspended);
  EXPECT_EQ(Of(plan, "Suspended").status, "True");
  EXPECT_EQ(Of(plan, "Suspended").reason, "NoWorkers");
  o->job.spec.suspend = false;
  EXPECT_EQ(Decide(o).creates.size(), 2u);
}

TEST(SuspendTest, PodsThatDoNotTrainYetAreTakenBack) {
  ObservedBuilder o(2);
  o.OnCluster().Waits(0).Runs(1);
  o->job.spec.suspend = true;
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_EQ(ActsOf(plan), (Acts{.deletes = {"pod-0.0", "pod-1.0"}}));
  EXPECT_EQ(Of(plan, "Suspended").reason, "Draining");
}

TEST(SuspendTest, WhoTrainsIsDrainedAndTheJobGoesOnAsANewReign) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0).Waits(1);
  o->job.spec.suspend = true;
  EXPECT_EQ(Decide(o), (Acts{.deletes = {"pod-1.0"}, .drain = true}));
  o->membership.drained = true;
  o->pods.pop_back();
  // It has been told to finish and is given a moment for it.
  Plan plan = MakePlan(*o, At(10));
  EXPECT_EQ(ActsOf(plan), (Acts{.ended = true}));
  EXPECT_EQ(plan.state, api::JobState::kSuspended);
  EXPECT_EQ(Of(plan, "Suspended").reason, "Drained");
  EXPECT_FALSE(plan.new_reign);
  Write(o, plan, 10);
  EXPECT_THAT(Decide(o, 15).deletes, ElementsAre("pod-0.0"));
  o.Exited(0, 11);
  o->job.spec.suspend = false;
  plan = MakePlan(*o, At(20));
  EXPECT_TRUE(plan.new_reign);
  // The new one knows the drain from the status alone.
  o->membership = {};
  o->job.spec.suspend = true;
  plan = MakePlan(*o, At(21));
  EXPECT_EQ(Of(plan, "Suspended").reason, "Drained");
  EXPECT_EQ(plan.state, api::JobState::kSuspended);
}

TEST(SuspendTest, WithoutAPlaceForCheckpointsTheJobTrainsOnAndSaysSo) {
  ObservedBuilder o(2);
  o.OnCluster().Trains(0);
  o->job.spec.checkpoint.path.clear();
  o->job.spec.suspend = true;
  const Plan plan = MakePlan(*o, At(0));
  EXPECT_EQ(ActsOf(plan), (Acts{.creates = {{1, 0}}, .target = Target{2, 1}}));
  EXPECT_EQ(Of(plan, "Suspended").status, "False");
  EXPECT_EQ(Of(plan, "Suspended").reason, "NoCheckpointPath");
}

TEST(SuspendTest, TheDeadlineFailsNoSuspendedJob) {
  ObservedBuilder o(1);
  o.OnCluster();
  o->job.spec.suspend = true;
  o->job.spec.active_deadline_seconds = 10;
  o->job.status.start_time = At(0);
  EXPECT_EQ(Decide(o, 100).fail, std::nullopt);
  o->job.spec.suspend = false;
  EXPECT_TRUE(Decide(o, 100).fail);
}

TEST(SuspendTest, TheDeadlineDoesNotCountWhatASuspensionTook) {
  ObservedBuilder o(1);
  o.OnCluster().Trains(0);
  o->job.spec.active_deadline_seconds = 10;
  o->job.status.start_time = At(0);
  o->job.status.time_seconds.closed = {{"productive", 4}, {"suspended", 80}};
  EXPECT_EQ(Decide(o, 89).fail, std::nullopt);
  EXPECT_EQ(MakePlan(*o, At(89)).look_again, At(90));
  EXPECT_TRUE(Decide(o, 90).fail);
  // It goes on, and nobody has closed the sum yet.
  o->job.status.time_seconds = {{{"productive", 4}}, "suspended", At(4)};
  EXPECT_EQ(Decide(o, 90).fail, std::nullopt);
}

// ---- the end

TEST(EndTest, TheJobItselfGoesAfterItsTimeToLive) {
  ObservedBuilder o(1);
  o.OnCluster().Runs(0).Exited(0);
  o->job.status.state = api::JobState::kSucceeded;
  o->job.status.conditions = {{reasons::kSucceeded, "True", "r", "m", At(0)}};
  EXPECT_EQ(MakePlan(*o, At(1e6)).delete_job, std::nullopt);
  o->job.spec.ttl_seconds_after_finished = 30;
  EXPECT_EQ(MakePlan(*o, At(29)).delete_job, std::nullopt);
  EXPECT_EQ(MakePlan(*o, At(29)).look_again, At(30));
  const Plan plan = MakePlan(*o, At(30));
  ASSERT_TRUE(plan.delete_job);
  EXPECT_EQ(plan.delete_job->reason, "TtlExpired");
  EXPECT_THAT(plan.delete_job->message, HasSubstr("ttlSecondsAfterFinished = 30"));
  EXPECT_EQ(plan.look_again, At(35)) << "where it was refused it is asked for again";
  // Neither one that has not ended, nor one whose end nobody can date, nor one machine's.
  o->job.status.state = api::JobState::kRunning;
  EXPECT_EQ(MakePlan(*o, At(30)).delete_job, std::nullopt);
  o->job.status.state = api::JobState::kSucceeded;
  o->on_cluster = false;
  EXPECT_EQ(MakePlan(*o, At(30)).delete_job, std::nullopt);
  o->on_cluster = true;
  o->job.status.conditions.clear();
  EXPECT_EQ(MakePlan(*o, At(1e6)).delete_job, std::nullopt);
}

}  // namespace
}  // namespace muster::job
