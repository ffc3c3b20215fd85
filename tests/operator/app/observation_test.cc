// What the cluster tells becomes membership's events and the plan's observation.
#include "operator/app/observation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::app {
namespace {

using membership::Event;
using membership::PodLeaving;
using membership::PodLost;

job::Pod Pod(std::int32_t ordinal, std::int32_t incarnation = 0) {
  job::Pod pod;
  pod.member = {ordinal, incarnation};
  pod.name = "pod-" + base::ToString(pod.member);
  pod.phase = job::PodPhase::kRunning;
  return pod;
}

job::Listed Listed() {
  job::Listed listed;
  listed.job.spec.workers.replicas = 2;
  listed.job.spec.training.steps = 10;
  listed.pods = {Pod(0), Pod(1)};
  return listed;
}

std::vector<std::string> Words(const std::vector<Event>& events) {
  std::vector<std::string> words;
  for (const Event& event : events) {
    if (const auto* lost = std::get_if<PodLost>(&event)) {
      words.push_back("lost " + base::ToString(lost->member) + ": " + lost->reason);
    } else if (const auto* leaving = std::get_if<PodLeaving>(&event)) {
      words.push_back("leaving " + base::ToString(leaving->member));
    } else if (const auto* former = std::get_if<membership::FormerMembers>(&event)) {
      std::string ids = "former";
      for (const base::MemberId id : former->members) ids += " " + base::ToString(id);
      words.push_back(ids);
    } else {
      words.push_back("something else");
    }
  }
  return words;
}

TEST(ObservationTest, ADeathIsToldOnce) {
  Observation o(Listed(), false);
  job::Pod pod = Pod(1);
  EXPECT_TRUE(o.OnChange(job::PodChanged{pod}).empty());
  pod.phase = job::PodPhase::kFailed;
  pod.signal = 9;
  EXPECT_THAT(Words(o.OnChange(job::PodChanged{pod})),
              testing::ElementsAre("lost 1.0: killed by signal 9"));
  EXPECT_TRUE(o.OnChange(job::PodChanged{pod}).empty());
  EXPECT_TRUE(o.OnChange(job::PodDeleted{pod}).empty());
  EXPECT_EQ(o.pods().size(), 1u);
}

TEST(ObservationTest, AVanishedPodIsADeathAndADeletedOneLeavesFirst) {
  Observation o(Listed(), false);
  job::Pod pod = Pod(1);
  pod.deleting = true;
  EXPECT_THAT(Words(o.OnChange(job::PodChanged{pod})), testing::ElementsAre("leaving 1.0"));
  EXPECT_TRUE(o.OnChange(job::PodChanged{pod}).empty());
  EXPECT_THAT(Words(o.OnChange(job::PodDeleted{pod})),
              testing::ElementsAre("lost 1.0: its pod is gone"));
}

TEST(ObservationTest, MembersOfARecordWithoutAPodAreGone) {
  api::Record record;
  record.newest = {base::Epoch(2), {{0, 0}, {2, 0}}};
  record.previous = {base::Epoch(1), {{3, 1}}};
  EXPECT_THAT(Words(Observation(Listed(), true).LostMembers(record)),
              testing::ElementsAre("lost 2.0: its pod is gone", "lost 3.1: its pod is gone"));
}

TEST(ObservationTest, MembersOfAnEarlierRunAreNotLostOnesOfThisRun) {
  job::Listed listed = Listed();
  listed.pods[1].phase = job::PodPhase::kFailed;
  api::Record record;
  record.newest = {base::Epoch(2), {{0, 0}, {1, 0}, {2, 0}}};
  record.previous = {base::Epoch(1), {{3, 1}}};
  EXPECT_THAT(Words(Observation(listed, false).LostMembers(record)),
              testing::ElementsAre("lost 1.0: its pod is gone", "former 2.0 3.1"));
}

TEST(ObservationTest, TheRecordKnowsMembersThatHaveNotSaidHelloYet) {
  Observation o(Listed(), true);
  membership::Snapshot snapshot;
  snapshot.record.newest = {base::Epoch(2), {{0, 0}, {1, 4}}};
  const job::Observed observed = o.Observe(snapshot, {});
  EXPECT_EQ(
      observed.membership.members,
      (std::vector<job::KnownMember>{{{0, 0}, true, false, false}, {{1, 4}, true, false, false}}));
  EXPECT_EQ(observed.highest_incarnation, (std::map<std::int32_t, std::int32_t>{{0, 0}, {1, 4}}));
}

TEST(ObservationTest, AnInstantOfTheMachineBecomesOneOfTheWall) {
  Observation o(Listed(), false);
  membership::Snapshot snapshot;
  snapshot.below_min_since = base::Time(std::chrono::seconds(7));
  const Instant at{base::Time(std::chrono::seconds(10)),
                   base::WallTime(std::chrono::seconds(1000))};
  EXPECT_EQ(o.Observe(snapshot, at).membership.below_min_since,
            base::WallTime(std::chrono::seconds(997)));
}

TEST(ObservationTest, RemembersWhatAViewHasReached) {
  Observation o(Listed(), false);
  membership::Snapshot snapshot;
  EXPECT_FALSE(o.Observe(snapshot, {}).membership.had_view);
  snapshot.size = 2;
  EXPECT_EQ(o.Observe(snapshot, {}).membership.reached, 2);
  snapshot.size = 1;
  const job::MembershipView view = o.Observe(snapshot, {}).membership;
  EXPECT_EQ(view.reached, 2);
  EXPECT_TRUE(view.had_view);
  EXPECT_FALSE(view.finishing);
  snapshot.members.push_back({});
  snapshot.members.back().committed = base::Step(10);
  EXPECT_TRUE(o.Observe(snapshot, {}).membership.finishing);
}

TEST(ObservationTest, ASuccessorKnowsThatTheJobHasTrained) {
  job::Listed listed = Listed();
  listed.job.status.state = api::JobState::kDegraded;
  listed.job.status.members = listed.job.status.desired_members = 2;
  EXPECT_TRUE(Observation(listed, true).Observe({}, {}).membership.had_view);
  EXPECT_EQ(Observation(listed, true).Observe({}, {}).membership.reached, 2);
  EXPECT_FALSE(Observation(listed, false).Observe({}, {}).membership.had_view);
}

TEST(ObservationTest, AChangedJobKeepsTheStatusThatWeWrote) {
  Observation o(Listed(), false);
  api::TrainingJobStatus status;
  status.members = 2;
  o.OnStatusWritten(status);
  api::TrainingJob job = o.job();
  job.spec.workers.replicas = 5;
  job.status.members = 0;
  EXPECT_TRUE(o.OnChange(job::JobChanged{job}).empty());
  EXPECT_EQ(o.job().spec.workers.replicas, 5);
  EXPECT_EQ(o.job().status.members, 2);
}

}  // namespace
}  // namespace muster::app
