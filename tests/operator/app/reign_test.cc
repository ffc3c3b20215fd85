// A reign in a played environment: what it asks for, in which order, and when it ends.
#include "operator/app/reign.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/operator/app/played_reign.h"

namespace muster::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using ReignTest = PlayedReign;

TEST_F(ReignTest, BeforeTheTermIsPersistedItNeitherListensNorCreates) {
  auto reign = Make();
  reign->Begin();
  for (int i = 0; i < 20; ++i) {
    clock_.Advance(milliseconds(50));
    reign->Turn();
  }
  ASSERT_THAT(environment_.persists, SizeIs(1));
  EXPECT_EQ(environment_.persists[0].next.term, base::Term(1));
  EXPECT_EQ(environment_.listens, 0);
  EXPECT_THAT(environment_.creates, IsEmpty());
  EXPECT_FALSE(reign->ended());
}

TEST_F(ReignTest, CreatesThePodsOnceAndNotAgainFromAStaleList) {
  auto reign = MakeListening();
  EXPECT_EQ(environment_.listens, 1);
  EXPECT_THAT(Members(environment_.creates), ElementsAre("0.0", "1.0"));
  for (int i = 0; i < 20; ++i) {
    clock_.Advance(milliseconds(200));
    reign->Turn();
  }
  EXPECT_THAT(environment_.creates, SizeIs(2));
}

TEST_F(ReignTest, ACreateThatTheWatchNeverShowsIsAskedForAgainUnderTheSameName) {
  auto reign = MakeListening();
  reign->Take(Running(environment_.creates[0]));
  clock_.Advance(seconds(6));
  reign->Turn();
  ASSERT_THAT(Members(environment_.creates), ElementsAre("0.0", "1.0", "1.0"));
  EXPECT_EQ(environment_.creates[2].name, environment_.creates[1].name);
}

TEST_F(ReignTest, ACreateThatStandsInLineIsNotAskedForAgain) {
  auto reign = MakeListening();
  environment_.under_way = true;
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(seconds(6));
    reign->Turn();
  }
  EXPECT_THAT(environment_.creates, SizeIs(2));
  environment_.under_way = false;
  clock_.Advance(seconds(6));
  reign->Turn();
  EXPECT_THAT(environment_.creates, SizeIs(4));
}

TEST_F(ReignTest, AKilledPodIsReplacedByItsNextIncarnation) {
  auto reign = MakeListening();
  for (const job::CreatePod& created : std::vector(environment_.creates)) {
    reign->Take(Running(created));
  }
  Input dead = Running(environment_.creates[1]);
  job::SharedPod& shared = std::get<job::PodChanged>(std::get<job::Change>(dead)).pod;
  job::Pod pod = *shared;
  pod.phase = job::PodPhase::kFailed;
  pod.signal = 9;
  shared = pod;
  reign->Take(std::move(dead));
  reign->Turn();
  EXPECT_THAT(Members(environment_.creates), ElementsAre("0.0", "1.0", "1.1"));
}

TEST_F(ReignTest, AHigherTermEndsIt) {
  auto reign = Make();
  reign->Begin();
  membership::Persisted lost;
  lost.outcome = api::PersistOutcome::kConflict;
  lost.current = environment_.persists.at(0).next;
  lost.current->term = base::Term(7);
  reign->Take(Input(membership::Event(lost)));
  clock_.Advance(milliseconds(50));
  reign->Turn();
  ASSERT_TRUE(reign->ended());
  EXPECT_EQ(reign->ended()->code(), absl::StatusCode::kAborted);
  EXPECT_EQ(environment_.listens, 0);
  EXPECT_THAT(environment_.creates, IsEmpty());
}

TEST_F(ReignTest, ARaceLostAtItsOwnTermIsRunAgainWithTheNext) {
  auto reign = Make();
  reign->Begin();
  membership::Persisted lost;
  lost.outcome = api::PersistOutcome::kConflict;
  lost.current = environment_.persists.at(0).next;
  lost.current->nonce += 1;
  reign->Take(Input(membership::Event(lost)));
  clock_.Advance(milliseconds(50));
  reign->Turn();
  EXPECT_FALSE(reign->ended());
  ASSERT_THAT(environment_.persists, SizeIs(2));
  EXPECT_EQ(environment_.persists[1].expected, lost.current);
  EXPECT_EQ(environment_.persists[1].next.term, base::Term(2));
  EXPECT_EQ(environment_.listens, 0);
}

TEST_F(ReignTest, APlaceWhereNobodyCanListenEndsIt) {
  environment_.listening = base::Unavailable("port 7077 is taken");
  auto reign = MakeListening();
  ASSERT_TRUE(reign->ended());
  EXPECT_THAT(base::Message(*reign->ended()), HasSubstr("port 7077 is taken"));
}

TEST_F(ReignTest, TheFirstStatusSaysWhatItWaitsFor) {
  auto reign = MakeListening();
  ASSERT_THAT(environment_.statuses, testing::Not(IsEmpty()));
  const api::TrainingJobStatus& status = environment_.statuses.back();
  EXPECT_EQ(status.observed_generation, job_.generation);
  for (const api::Condition& condition : status.conditions) {
    EXPECT_FALSE(condition.reason.empty()) << condition.type;
    EXPECT_FALSE(condition.message.empty()) << condition.type;
  }
}

// A thousand jobs that waited for their pods kept a core busy with a hundred ticks a second each.
TEST_F(ReignTest, WhoeverWaitsForPodsIsWokenEachFiveSecondsUntilSomebodyComes) {
  auto reign = MakeListening();
  const auto turn = [&](base::Duration after) {
    clock_.Advance(after);
    reign->Turn();
    return reign->NextWake() - clock_.Now();
  };
  EXPECT_LE(turn(milliseconds(10)), milliseconds(100)) << "it has just begun";
  turn(seconds(6));
  EXPECT_EQ(turn(seconds(5)), seconds(5));
  api::Hello hello;
  hello.job_uid = job_.uid;
  hello.token = "token";
  hello.member = {0, 0};
  hello.kernel_families = {"Haswell"};
  for (const job::CreatePod& created : std::vector(environment_.creates)) {
    reign->Take(Running(created));
  }
  reign->Take(Input(membership::Event(membership::Received{1, {{}, hello}})));
  EXPECT_LE(turn(milliseconds(10)), milliseconds(10)) << "its silence would mean something";
}

TEST_F(ReignTest, ASuspensionIsATimeOfItsOwn) {
  job_.spec.suspend = true;
  job_.spec.checkpoint.path = "/checkpoints";
  auto reign = Make(true);
  reign->Begin();
  reign->Take(Answer(api::PersistOutcome::kOk));
  reign->Turn();
  ASSERT_FALSE(environment_.statuses.empty());
  const api::TrainingJobStatus suspended = environment_.statuses.back();
  EXPECT_EQ(suspended.state, api::JobState::kSuspended);
  EXPECT_EQ(suspended.time_seconds.state, "suspended") << "in the status that says so";
  clock_.Advance(seconds(100));
  job_.spec.suspend = false;
  reign->Take(Input(job::Change(job::JobChanged{job_})));
  reign->Turn();
  const api::TimeSeconds& resumed = environment_.statuses.back().time_seconds;
  EXPECT_NE(resumed.state, "suspended");
  EXPECT_NEAR(resumed.closed.at("suspended"), 100, 1);
}

TEST_F(ReignTest, ADeletionIsAskedForOnceUntilTheWatchHadTimeToShowIt) {
  auto reign = MakeListening();
  for (const job::CreatePod& created : std::vector(environment_.creates)) {
    reign->Take(Running(created));
  }
  job_.spec.workers.replicas = 1;
  reign->Take(Input(job::Change(job::JobChanged{job_})));
  for (int i = 0; i < 20; ++i) {
    clock_.Advance(milliseconds(200));
    reign->Turn();
  }
  ASSERT_THAT(environment_.deletes, SizeIs(1));
  clock_.Advance(seconds(6));
  reign->Turn();
  ASSERT_THAT(environment_.deletes, SizeIs(2));
  EXPECT_EQ(environment_.deletes[1], environment_.deletes[0]);
}

TEST_F(ReignTest, AStreamIsWelcomedOrClosedByItsHello) {
  auto reign = MakeListening();
  for (const job::CreatePod& created : std::vector(environment_.creates)) {
    reign->Take(Running(created));
  }
  api::Hello hello;
  hello.job_uid = job_.uid;
  hello.token = "another";
  hello.member = {0, 0};
  hello.kernel_families = {"Haswell"};
  reign->Take(Input(membership::Event(membership::Received{1, {{}, hello}})));
  ASSERT_THAT(environment_.sent, SizeIs(1));
  EXPECT_TRUE(std::holds_alternative<api::Refused>(environment_.sent[0].message));
  hello.token = "token";
  reign->Take(Input(membership::Event(membership::Received{2, {{}, hello}})));
  ASSERT_THAT(environment_.sent, SizeIs(2));
  EXPECT_TRUE(std::holds_alternative<api::Welcome>(environment_.sent[1].message));
}

TEST_F(ReignTest, ATimeoutThatIsChangedIsTheMembersToo) {
  auto reign = MakeListening();
  for (const job::CreatePod& created : std::vector(environment_.creates)) {
    reign->Take(Running(created));
  }
  job_.spec.elasticity.heartbeat_timeout = seconds(7);
  reign->Take(Input(job::Change(job::JobChanged{job_})));
  reign->Turn();
  api::Hello hello;
  hello.job_uid = job_.uid;
  hello.token = "token";
  hello.member = {0, 0};
  hello.kernel_families = {"Haswell"};
  reign->Take(Input(membership::Event(membership::Received{1, {{}, hello}})));
  ASSERT_THAT(environment_.sent, SizeIs(1));
  EXPECT_EQ(std::get<api::Welcome>(environment_.sent[0].message).heartbeat_timeout_seconds, 7);
}

// The coordinator that ended the job may have died before its members heard of it.
TEST_F(ReignTest, MembersOfAnEndedJobAreToldHowItEndedAndDeletedOnlyIfTheyDoNotGo) {
  job::Pod pod;
  pod.name = "story-0";
  pod.uid = "uid-of-story-0";
  pod.member = {0, 0};
  pod.phase = job::PodPhase::kRunning;
  job_.status.state = api::JobState::kFailed;
  job_.status.conditions.push_back(
      {"Failed", "True", "DeadlineExceeded", "too late", clock_.WallNow() - seconds(60)});
  auto reign = Make(true, {pod});
  reign->Begin();
  reign->Turn();
  reign->Take(Answer(api::PersistOutcome::kOk));
  reign->Turn();
  api::Hello hello;
  hello.job_uid = job_.uid;
  hello.token = "token";
  hello.member = pod.member;
  hello.epoch = hello.pending_epoch = base::Epoch(3);
  hello.phase = api::MemberPhase::kWaiting;
  hello.kernel_families = {"Haswell"};
  reign->Take(Input(membership::Event(membership::Received{1, {{}, hello}})));
  ASSERT_THAT(environment_.sent, SizeIs(1));
  EXPECT_EQ(std::get<api::Finish>(environment_.sent[0].message),
            (api::Finish{false, "DeadlineExceeded", "too late"}));
  const auto turns = [&](int seconds_long) {
    for (int i = 0; i < seconds_long * 10; ++i) {
      clock_.Advance(milliseconds(100));
      reign->Turn();
    }
  };
  turns(4);
  EXPECT_THAT(environment_.deletes, IsEmpty()) << "it has just been told";
  turns(2);
  ASSERT_FALSE(environment_.deletes.empty());
  EXPECT_EQ(environment_.deletes[0].name, "story-0");
  for (const api::TrainingJobStatus& status : environment_.statuses) {
    EXPECT_EQ(status.state, api::JobState::kFailed);
    EXPECT_EQ(status.time_seconds, job_.status.time_seconds) << "an ended job spends no time";
  }
}

TEST_F(ReignTest, ADeletionOfTheJobThatChangesNothingIsAskedForEachFiveSeconds) {
  job_.spec.ttl_seconds_after_finished = 0;
  job_.status.state = api::JobState::kSucceeded;
  job_.status.conditions.push_back(
      {"Succeeded", "True", "AllStepsCommitted", "done", clock_.WallNow() - seconds(1)});
  auto reign = Make(true);
  reign->Begin();
  reign->Take(Answer(api::PersistOutcome::kOk));
  for (int i = 0; i < 110; ++i) {
    clock_.Advance(milliseconds(100));
    reign->Turn();
  }
  EXPECT_THAT(environment_.deleted_jobs, SizeIs(3));
}

}  // namespace
}  // namespace muster::app
