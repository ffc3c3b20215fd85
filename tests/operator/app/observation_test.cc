// What the cluster tells becomes membership's events and the plan's observation.
#include "operator/app/observation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::app {
namespace {

using membership::Event;
using membership::PodLeaving;
using membership::PodLost;
using std::chrono::seconds;

job::Pod Pod(std::int32_t ordinal, std::int32_t incarnation = 0) {
  job::Pod pod;
  pod.member = {ordinal, incarnation};
  pod.name = "pod-" + base::ToString(pod.member);
  pod.phase = job::PodPhase::kRunning;
  return pod;
}

job::Listed Listed(api::TrainingJobStatus status = {}) {
  api::TrainingJob job;
  job.spec.workers.replicas = 2;
  job.spec.training.steps = 10;
  job.status = std::move(status);
  return {std::move(job), {Pod(0), Pod(1)}};
}

std::vector<std::string> Words(const std::vector<Event>& events) {
  std::vector<std::string> words;
  for (const Event& event : events) {
    if (const auto* lost = std::get_if<PodLost>(&event)) {
      words.push_back("lost " + base::ToString(lost->pod) + ": " + lost->reason);
    } else if (const auto* leaving = std::get_if<PodLeaving>(&event)) {
      const auto left = std::chrono::duration_cast<seconds>(leaving->grace).count();
      words.push_back("leaving " + base::ToString(leaving->member) + " in " + std::to_string(left) +
                      " s: " + leaving->reason);
    } else if (const auto* hint = std::get_if<membership::NodeSuspect>(&event)) {
      words.push_back((hint->suspect ? "suspect " : "trusted ") + hint->node);
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
  EXPECT_TRUE(o.OnChange(job::PodChanged{pod}, {}).empty());
  pod.phase = job::PodPhase::kFailed;
  pod.signal = 9;
  EXPECT_THAT(Words(o.OnChange(job::PodChanged{pod}, {})),
              testing::ElementsAre("lost 1.0: killed by signal 9"));
  EXPECT_TRUE(o.OnChange(job::PodChanged{pod}, {}).empty());
  EXPECT_TRUE(o.OnChange(job::PodDeleted{pod}, {}).empty());
  EXPECT_EQ(o.Observe({}, {}).pods.size(), 1u);
}

TEST(ObservationTest, AVanishedPodIsADeath) {
  Observation o(Listed(), false);
  EXPECT_THAT(Words(o.OnChange(job::PodDeleted{Pod(1)}, {})),
              testing::ElementsAre("lost 1.0: its pod is gone"));
}

Instant After(double s) {
  return {base::Time(base::FromSeconds(s)), base::WallTime(base::FromSeconds(1000 + s))};
}

membership::Snapshot Knows(std::initializer_list<membership::MemberSnapshot> members) {
  membership::Snapshot snapshot;
  snapshot.members = members;
  return snapshot;
}

membership::MemberSnapshot Member(std::int32_t ordinal, bool leaving = false) {
  membership::MemberSnapshot member;
  member.id = {ordinal, 0};
  member.node = "n" + std::to_string(ordinal);
  member.leaving = leaving;
  return member;
}

TEST(ObservationTest, APodThatIsDeletedLeavesWithinItsOwnGrace) {
  Observation o(Listed(), false);
  job::Pod pod = Pod(1);
  pod.deleting = true;
  pod.grace = seconds(60);
  pod.deletion_time = After(60).wall;
  EXPECT_TRUE(o.OnChange(job::PodChanged{pod}, After(0)).empty());
  // Whoever has not said hello cannot be told.
  EXPECT_THAT(Words(o.Hints(Knows({Member(0)}), After(1))), testing::IsEmpty());
  EXPECT_THAT(Words(o.Hints(Knows({Member(0), Member(1)}), After(10))),
              testing::ElementsAre("leaving 1.0 in 50 s: its pod is deleted"));
  const membership::Snapshot leaves = Knows({Member(0), Member(1, true)});
  EXPECT_THAT(Words(o.Hints(leaves, After(11))), testing::IsEmpty());
  // Asked a second time, and faster.
  pod.deletion_time = After(20).wall;
  EXPECT_TRUE(o.OnChange(job::PodChanged{pod}, After(12)).empty());
  EXPECT_THAT(Words(o.Hints(leaves, After(12))),
              testing::ElementsAre("leaving 1.0 in 8 s: its pod is deleted"));
  EXPECT_THAT(Words(o.Hints(leaves, After(13))), testing::IsEmpty());
  // A process that came back as one that does not leave is told again.
  EXPECT_THAT(Words(o.Hints(Knows({Member(1)}), After(14))),
              testing::ElementsAre("leaving 1.0 in 6 s: its pod is deleted"));
  EXPECT_THAT(Words(o.OnChange(job::PodDeleted{pod}, After(20))),
              testing::ElementsAre("lost 1.0: its pod is gone"));
  EXPECT_THAT(Words(o.Hints(Knows({Member(1)}), After(21))), testing::IsEmpty());
}

TEST(ObservationTest, AClockThatIsOffNeverGivesMoreThanTheGraceNorLessThanNothing) {
  job::Pod pod = Pod(1);
  pod.deleting = true;
  pod.grace = seconds(30);
  for (const auto& [deletion, left] : {std::pair{500.0, "30"}, std::pair{-500.0, "0"}}) {
    Observation o(Listed(), false);
    pod.deletion_time = After(deletion).wall;
    o.OnChange(job::PodChanged{pod}, After(0));
    EXPECT_THAT(
        Words(o.Hints(Knows({Member(1)}), After(0))),
        testing::ElementsAre("leaving 1.0 in " + std::string(left) + " s: its pod is deleted"));
  }
}

TEST(ObservationTest, ANoticeOfADisruptionIsATimelyWordToLeave) {
  Observation o(Listed(), false);
  job::Pod pod = Pod(1);
  pod.conditions = {"DisruptionTarget"};
  pod.grace = seconds(120);
  o.OnChange(job::PodChanged{pod}, After(0));
  EXPECT_THAT(Words(o.Hints(Knows({Member(1)}), After(0))),
              testing::ElementsAre("leaving 1.0 in 120 s: its pod is to be disrupted"));
  EXPECT_THAT(Words(o.Hints(Knows({Member(1, true)}), After(50))), testing::IsEmpty());
  // A process that has ended is lost, and does not leave.
  pod.phase = job::PodPhase::kFailed;
  EXPECT_THAT(Words(o.OnChange(job::PodChanged{pod}, After(60))),
              testing::ElementsAre("lost 1.0: its pod is gone"));
  EXPECT_THAT(Words(o.Hints(Knows({Member(1)}), After(60))), testing::IsEmpty());
}

TEST(ObservationTest, ANodeThatIsNotReadyIsAHintForEachMemberOnItAndTakenBack) {
  job::Listed listed = Listed();
  listed.pods[0].node = "n0";
  listed.pods[1].node = "n1";
  Observation o(listed, false);
  job::Node node;
  node.name = "n1";
  node.ready = false;
  EXPECT_TRUE(o.OnChange(job::NodeChanged{node}, {}).empty());
  EXPECT_THAT(Words(o.Hints(Knows({Member(0)}), After(0))), testing::IsEmpty());
  const membership::Snapshot both = Knows({Member(0), Member(1)});
  EXPECT_THAT(Words(o.Hints(both, After(1))), testing::ElementsAre("suspect n1"));
  EXPECT_THAT(Words(o.Hints(both, After(2))), testing::IsEmpty());
  node.ready = true;
  o.OnChange(job::NodeChanged{node}, {});
  EXPECT_THAT(Words(o.Hints(both, After(3))), testing::ElementsAre("trusted n1"));
  EXPECT_THAT(Words(o.Hints(both, After(4))), testing::IsEmpty());
}

TEST(ObservationTest, KeepsOnlyNodesThatItsPodsOrLossesNameAndThoseInTrouble) {
  api::TrainingJobStatus status;
  status.failures = {{base::WallTime(), {5, 0}, "lost", "HeartbeatTimeout", -1, true}};
  job::Listed listed = Listed(status);
  listed.pods[0].node = "mine";
  std::vector<job::Node> nodes;
  for (const char* name : {"mine", "lost", "other", "cordoned", "silent", "faulty", "deleted"}) {
    nodes.emplace_back().name = name;
  }
  nodes[3].cordoned = true;
  nodes[4].ready = false;
  nodes[5].fault = "the taint nvidia.com/gpu-fault";
  nodes[6].gone = true;
  const auto kept = [](Observation& o) {
    std::vector<std::string> names;
    for (const auto& [name, node] : o.Observe({}, {}).nodes) names.push_back(name);
    return names;
  };
  Observation told(listed, false);
  for (const job::Node& node : nodes) told.OnChange(job::NodeChanged{node}, {});
  EXPECT_THAT(kept(told), testing::ElementsAre("cordoned", "faulty", "lost", "mine", "silent"));
  listed.nodes = nodes;
  Observation begun(listed, false);
  EXPECT_EQ(kept(begun), kept(told));
  nodes[3].cordoned = false;
  begun.OnChange(job::NodeChanged{nodes[3]}, {});
  EXPECT_THAT(kept(begun), testing::ElementsAre("faulty", "lost", "mine", "silent"));
}

TEST(ObservationTest, CountsTheGpusOfTheTemplateOnAClusterAlone) {
  api::TrainingJob asking;
  const auto gpus = [](const char* number) {
    return std::string(R"({"spec":{"containers":[{"resources":{"limits":{"nvidia.com/gpu":)") +
           number + "}}}]}}";
  };
  asking.spec.workers.template_json = gpus("2");
  for (const bool on_cluster : {true, false}) {
    job::Listed listed = Listed();
    listed.on_cluster = on_cluster;
    listed.job = asking;
    Observation o(listed, false);
    EXPECT_EQ(o.Observe({}, {}).worker_gpus, on_cluster ? 2 : 0);
    api::TrainingJob other = asking;
    other.spec.workers.template_json = gpus("\"8k\"");
    o.OnChange(job::JobChanged{other}, {});
    EXPECT_EQ(o.Observe({}, {}).worker_gpus, 0);
    EXPECT_EQ(o.Observe({}, {}).worker_gpus_problem.empty(), !on_cluster);
  }
}

TEST(ObservationTest, RefusalsAreCountedUntilAPodIsTakenOrTheSpecChanges) {
  Observation o(Listed(), false);
  const job::PodRefused refused{"p", {2, 0}, "QuotaExceeded", "words"};
  o.OnChange(refused, After(1));
  o.OnChange(refused, After(2));
  EXPECT_EQ(o.Observe({}, {}).refused,
            (std::map<std::string, job::Refusal>{
                {"p", {{2, 0}, "QuotaExceeded", "words", 2, After(2).wall}}}));
  // A change of a pod that was there says nothing about new ones.
  o.OnChange(job::PodChanged{Pod(1)}, After(3));
  EXPECT_EQ(o.Observe({}, {}).refused.size(), 1u);
  o.OnChange(job::PodChanged{Pod(2)}, After(3));
  EXPECT_TRUE(o.Observe({}, {}).refused.empty());
  o.OnChange(refused, After(4));
  api::TrainingJob job = o.job();
  o.OnChange(job::JobChanged{job}, After(5));
  EXPECT_EQ(o.Observe({}, {}).refused.size(), 1u);
  job.spec.workers.template_json = R"({"spec":{}})";
  o.OnChange(job::JobChanged{job}, After(5));
  EXPECT_TRUE(o.Observe({}, {}).refused.empty());
}

TEST(ObservationTest, OnAClusterTheSpecIsHashedAndTheReignsOwnIsRemembered) {
  job::Listed listed = Listed();
  EXPECT_EQ(Observation(listed, false).Observe({}, {}).spec_hash, "");
  listed.on_cluster = true;
  Observation o(listed, false);
  const job::Observed before = o.Observe({}, {});
  EXPECT_TRUE(before.on_cluster);
  EXPECT_EQ(before.spec_hash, before.reign_spec_hash);
  EXPECT_EQ(before.spec_hash.size(), 64u);
  EXPECT_EQ(before.template_hash.size(), 64u);
  api::TrainingJob job = o.job();
  job.spec.training.steps += 1;
  job.spec.workers.template_json = R"({"spec":{}})";
  o.OnChange(job::JobChanged{job}, {});
  const job::Observed after = o.Observe({}, {});
  EXPECT_NE(after.spec_hash, before.spec_hash);
  EXPECT_NE(after.template_hash, before.template_hash);
  EXPECT_EQ(after.reign_spec_hash, before.spec_hash);
}

TEST(ObservationTest, AnEvictionHasTheTimeWhenItWasFirstSeen) {
  Observation o(Listed(), false);
  o.OnEvicted({{1, 0}, "n1", "HeartbeatTimeout", "no beat"});
  EXPECT_EQ(o.Observe({}, After(3)).membership.evicted_at.at({1, 0}), After(3).wall);
  EXPECT_EQ(o.Observe({}, After(9)).membership.evicted_at.at({1, 0}), After(3).wall);
}

TEST(ObservationTest, MembersOfARecordWithoutAPodAreGone) {
  api::Record record;
  record.newest = {base::Epoch(2), {{0, 0}, {2, 0}}};
  record.previous = {base::Epoch(1), {{3, 1}}};
  EXPECT_THAT(Words(Observation(Listed(), true).LostMembers(record)),
              testing::ElementsAre("lost 2.0: its pod is gone", "lost 3.1: its pod is gone"));
}

TEST(ObservationTest, NobodyWaitsForAMemberWhoseLossWasWrittenDown) {
  api::TrainingJobStatus status;
  status.failures = {{{}, {1, 0}, "n1", "StreamLost", -1, false}};
  job::Listed listed = Listed(status);
  listed.on_cluster = true;
  api::Record record;
  record.newest = {base::Epoch(2), {{0, 0}, {1, 0}}};
  EXPECT_THAT(Words(Observation(listed, true).LostMembers(record)),
              testing::ElementsAre("lost 1.0: it was lost before this coordinator came"));
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

TEST(ObservationTest, WhoWasDrainedBeforeASuspensionIsNobodysLoss) {
  job::Listed listed = Listed();
  listed.on_cluster = true;
  listed.pods[0].phase = job::PodPhase::kSucceeded;
  listed.pods[1].phase = job::PodPhase::kFailed;
  api::Record record;
  record.newest = {base::Epoch(2), {{0, 0}, {1, 0}}};
  EXPECT_THAT(Words(Observation(listed, false).LostMembers(record)),
              testing::ElementsAre("lost 1.0: its pod is gone", "former 0.0"));
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

TEST(ObservationTest, IdsOfAnOrdinalThatThisReignHasNotSeenBeginAboveThoseOfEarlierOnes) {
  job::Listed listed = Listed();
  membership::Snapshot snapshot;
  snapshot.record.term = base::Term(2);
  snapshot.record.newest = {base::Epoch(6), {{0, 0}, {1, 0}}};
  EXPECT_EQ(Observation(listed, true).Observe(snapshot, {}).first_incarnation, 0);
  listed.on_cluster = true;
  Observation o(listed, true);
  EXPECT_EQ(o.Observe({}, {}).first_incarnation, 0) << "no record yet";
  EXPECT_EQ(o.Observe(snapshot, {}).first_incarnation, 6);
  // A plan that is repeated names the same pods.
  snapshot.record.newest.epoch = base::Epoch(9);
  EXPECT_EQ(o.Observe(snapshot, {}).first_incarnation, 6);
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
  snapshot.finishing = true;
  EXPECT_TRUE(o.Observe(snapshot, {}).membership.finishing);
}

TEST(ObservationTest, ASuccessorKnowsThatTheJobHasTrained) {
  api::TrainingJobStatus status;
  status.state = api::JobState::kDegraded;
  status.members = status.desired_members = 2;
  const job::Listed listed = Listed(status);
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
  EXPECT_TRUE(o.OnChange(job::JobChanged{job}, {}).empty());
  EXPECT_EQ(o.job().spec.workers.replicas, 5);
  EXPECT_EQ(o.status().members, 2);
}

}  // namespace
}  // namespace muster::app
