// A job on a cluster as a person reads it.
#include "operator/cli/job_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::cli {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const base::WallTime kNow = base::WallTime(hours(24 * 365 * 56));

kube::PodRecord Pod(base::MemberId member, const std::string& node, job::PodPhase phase) {
  kube::PodRecord pod;
  pod.pod.name = "licences-" + std::to_string(member.ordinal) + "-abc";
  pod.pod.member = member;
  pod.pod.node = node;
  pod.pod.phase = phase;
  return pod;
}

JobSight Sight() {
  JobSight sight;
  api::TrainingJob& job = sight.job;
  job.name = "licences";
  job.ns = "team";
  job.spec.training.steps = 300;
  api::TrainingJobStatus& status = job.status;
  status.state = api::JobState::kDegraded;
  status.start_time = kNow - minutes(3);
  status.members = 1;
  status.desired_members = 2;
  status.progress = {120, 300, "2.31", "", 51234, kNow + minutes(5)};
  status.conditions.push_back(
      {"Degraded", "True", "MembersMissing", "1 of 2 members train", kNow - seconds(7)});
  status.membership.emplace();
  status.membership->term = base::Term(2);
  status.membership->newest = {base::Epoch(4), {{1, 1}}};
  sight.pods = {Pod({1, 1}, "n2", job::PodPhase::kRunning),
                Pod({0, 2}, "", job::PodPhase::kPending)};
  sight.pods[1].pod.unschedulable = "0/3 nodes are available: 3 Insufficient cpu.";
  return sight;
}

TEST(JobTextTest, TellsStateProgressMembersAndWhatIsMissing) {
  const auto lines = StatusLines(Sight(), kNow);
  EXPECT_EQ(lines[0], "team/licences  Degraded  for 3m00s");
  EXPECT_EQ(lines[1], "step 120 of 300   loss 2.31   51.2k tokens/s   ready in 5m00s");
  EXPECT_THAT(lines, Contains("members 1 of 2, epoch 4, term 2"));
  EXPECT_THAT(lines, Contains("  RANK  MEMBER  POD             NODE  PHASE"));
  EXPECT_THAT(lines, Contains("  -     0.2     licences-0-abc  -     Pending"));
  EXPECT_THAT(lines, Contains("  0     1.1     licences-1-abc  n2    Running"));
  EXPECT_THAT(lines,
              Contains("  licences-0-abc waits: no node takes it: 0/3 nodes are available: 3 "
                       "Insufficient cpu."));
  EXPECT_THAT(lines, Contains("  Degraded  True    7.0 s  MembersMissing  1 of 2 members train"));
}

TEST(JobTextTest, APodOfSeveralProcessesIsOneLineWithAllItsMembers) {
  JobSight sight = Sight();
  sight.job.status.membership->newest = {base::Epoch(4), {{2, 1000}, {5, 0}, {3, 1001}}};
  for (kube::PodRecord& pod : sight.pods) pod.processes = 2;
  const auto lines = StatusLines(sight, kNow);
  EXPECT_THAT(lines, Contains("  -     0.2            licences-0-abc  -     Pending"));
  EXPECT_THAT(lines, Contains("  0,2   2.1000,3.1001  licences-1-abc  n2    Running"));
}

TEST(JobTextTest, AJobThatNobodyHasSeenSaysSo) {
  JobSight sight;
  sight.job.name = "licences";
  EXPECT_THAT(StatusLines(sight, kNow), Contains(StartsWith("no conditions yet")));
}

TEST(JobTextTest, AnEndedJobShowsItsDigestAndAFailedPodItsCode) {
  JobSight sight = Sight();
  sight.job.status.result.emplace().digest = "e095905997ba2615";
  sight.job.status.checkpoint.emplace().step = base::Step(300);
  sight.job.status.checkpoint->time = kNow - hours(1);
  sight.pods[0].pod.phase = job::PodPhase::kFailed;
  sight.pods[0].pod.exit_code = 74;
  sight.pods[1].pod.phase = job::PodPhase::kFailed;
  sight.pods[1].pod.signal = 9;
  const auto lines = StatusLines(sight, kNow);
  EXPECT_THAT(lines, Contains("digest e095905997ba2615"));
  EXPECT_THAT(lines, Contains("checkpoint of step 300, 1h00m ago"));
  EXPECT_THAT(lines, Contains(HasSubstr("Failed (exit code 74)")));
  EXPECT_THAT(lines, Contains(HasSubstr("Failed (signal 9)")));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("waits"))));
}

TEST(JobTextTest, EventsAreInTheOrderOfTheirTime) {
  const auto lines = EventLines({{kNow - seconds(5), "Normal", "Rescaled", "epoch 2"},
                                 {kNow - minutes(2), "Warning", "MemberEvicted", "member 1.0", 3}},
                                kNow);
  EXPECT_THAT(lines, ElementsAre("  AGE    TYPE     REASON         MESSAGE",
                                 "  2m00s  Warning  MemberEvicted  member 1.0 (x3)",
                                 "  5.0 s  Normal   Rescaled       epoch 2"));
  EXPECT_THAT(EventLines({}, kNow), ElementsAre(StartsWith("no Events")));
}

}  // namespace
}  // namespace muster::cli
