// Pods with several processes, as they are observed: membership speaks of members, the cluster and the
// plan of pods.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/app/observation.h"

namespace muster::app {
namespace {

using membership::Event;
using testing::ElementsAre;

const Instant kNow{base::Time(std::chrono::seconds(7)), base::WallTime(std::chrono::seconds(7))};

// Pods 0 and 1 with the members 0 and 1, 2 and 3.
job::Listed TwoProcesses() {
  api::TrainingJob job;
  job.spec.workers.replicas = 2;
  job.spec.workers.processes_per_worker = 2;
  job::Listed listed{std::move(job), {}};
  for (const std::int32_t ordinal : {0, 1}) {
    job::Pod pod;
    pod.member = {ordinal, 0};
    pod.name = "pod-" + base::ToString(pod.member);
    pod.phase = job::PodPhase::kRunning;
    listed.pods.push_back(pod);
  }
  return listed;
}

membership::Snapshot Training(std::initializer_list<std::int32_t> ordinals) {
  membership::Snapshot snapshot;
  for (const std::int32_t ordinal : ordinals) {
    snapshot.members.emplace_back().id = {ordinal, 0};
    snapshot.members.back().in_view = true;
  }
  return snapshot;
}

TEST(ObservedPodsTest, APodThatIsAskedToGoIsAskedForEachOfItsMembers) {
  job::Listed listed = TwoProcesses();
  listed.pods[1].deleting = true;
  Observation o(listed, false);
  std::vector<base::MemberId> asked;
  for (const Event& event : o.Hints(Training({1, 2, 3}), kNow)) {
    ASSERT_TRUE(std::holds_alternative<membership::PodLeaving>(event));
    asked.push_back(std::get<membership::PodLeaving>(event).member);
  }
  EXPECT_THAT(asked, ElementsAre(base::MemberId{2, 0}, base::MemberId{3, 0}));
}

TEST(ObservedPodsTest, MembersOfARecordAreLostByTheirPods) {
  api::Record record;
  record.newest.members = {{0, 0}, {1, 0}, {4, 0}, {5, 0}, {5, 1}};
  record.previous.members = {{2, 0}, {3, 0}};
  const std::vector<Event> lost = Observation(TwoProcesses(), true).LostMembers(record);
  ASSERT_EQ(lost.size(), 1u) << "once for each pod";
  EXPECT_EQ(std::get<membership::PodLost>(lost[0]).pod, (base::MemberId{2, 0}));
  const std::vector<Event> former = Observation(TwoProcesses(), false).LostMembers(record);
  ASSERT_EQ(former.size(), 1u);
  EXPECT_THAT(std::get<membership::FormerMembers>(former[0]).members,
              ElementsAre(base::MemberId{4, 0}, base::MemberId{5, 0}, base::MemberId{5, 1}));
}

TEST(ObservedPodsTest, ALossThatWasWrittenDownIsThePodsOwn) {
  job::Listed listed = TwoProcesses();
  listed.on_cluster = true;
  api::TrainingJob job = *listed.job;
  // A process of pod 0, and the whole of pod 1.
  job.status.failures = {{base::WallTime(), {1, 0}, "n", "WorkerKilled", -1, true},
                         {base::WallTime(), {2, 999}, "n", "NodeLost", -1, false}};
  listed.job = std::move(job);
  api::Record record;
  record.newest.members = {{0, 0}, {1, 1}, {2, 0}, {3, 0}};
  const std::vector<Event> lost = Observation(listed, true).LostMembers(record);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(std::get<membership::PodLost>(lost[0]).pod, (base::MemberId{1, 0}));
  EXPECT_EQ(std::get<membership::PodLost>(lost[0]).reason,
            "it was lost before this coordinator came");
}

TEST(ObservedPodsTest, APlanSeesPodsAndTheIncarnationsOfPods) {
  Observation o(TwoProcesses(), false);
  membership::Snapshot snapshot = Training({0, 1, 2});
  snapshot.record.newest.members = {{0, 0}, {1, 0}, {2, 0}, {5, 3002}};
  o.OnEvicted({{3, 0}, "n", "WorkerKilled", "killed"});
  const job::Observed observed = o.Observe(snapshot, kNow);
  std::vector<base::MemberId> pods;
  for (const job::KnownMember& pod : observed.membership.members) pods.push_back(pod.id);
  EXPECT_THAT(pods, ElementsAre(base::MemberId{0, 0}, base::MemberId{1, 0}, base::MemberId{2, 3}));
  EXPECT_TRUE(observed.membership.evicted.empty());
  ASSERT_EQ(observed.membership.lost_processes.size(), 1u);
  EXPECT_EQ(observed.membership.lost_processes.begin()->first, (base::MemberId{3, 0}));
  EXPECT_EQ(observed.membership.lost_processes.begin()->second.since, kNow.wall);
  EXPECT_EQ(observed.highest_incarnation,
            (std::map<std::int32_t, std::int32_t>{{0, 0}, {1, 0}, {2, 3}}));
}

}  // namespace
}  // namespace muster::app
