// A reign in a played environment: what it asks for, in which order, and when it ends.
#include "operator/app/reign.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/operator/local/scratch.h"

namespace muster::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// Writes down what it is asked for; answers come from the test.
class PlayedEnvironment final : public Environment {
 public:
  std::string WorkerImage(const api::TrainingJob&) const override { return ""; }
  void CreatePod(const job::CreatePod& wanted) override { creates.push_back(wanted); }
  void DeletePod(const job::DeletePod& wanted) override { deletes.push_back(wanted); }
  bool IsUnderWay(const std::string&) const override { return under_way; }
  void DeleteJob(const job::Verdict& why) override { deleted_jobs.push_back(why); }
  void WriteStatus(job::SharedStatus status) override { statuses.push_back(*status); }
  void Tell(job::Report report) override { reports.push_back(std::move(report)); }
  void Persist(membership::Persist persist) override { persists.push_back(std::move(persist)); }
  absl::Status Listen() override {
    ++listens;
    return listening;
  }
  void Send(membership::StreamId, const api::FromCoordinator& message) override {
    sent.push_back(message);
  }
  void CloseStream(membership::StreamId stream) override { closed.push_back(stream); }

  std::vector<job::Verdict> deleted_jobs;
  std::vector<job::CreatePod> creates;
  std::vector<job::DeletePod> deletes;
  std::vector<api::TrainingJobStatus> statuses;
  std::vector<job::Report> reports;
  std::vector<membership::Persist> persists;
  std::vector<api::FromCoordinator> sent;
  std::vector<membership::StreamId> closed;
  absl::Status listening;
  int listens = 0;
  bool under_way = false;
};

class ReignTest : public testing::Test {
 protected:
  ReignTest() {
    job_.name = "story";
    job_.uid = "uid-1";
    job_.spec.workers.replicas = job_.spec.workers.max_replicas = 2;
    job_.spec.training.steps = 10;
    job_.spec.training.slots = 16;
  }

  std::unique_ptr<Reign> Make(bool on_cluster = false, std::vector<job::Pod> pods = {}) {
    return std::make_unique<Reign>(Reign::Options{{job_, std::move(pods), {}, on_cluster},
                                                  "token",
                                                  "",
                                                  1,
                                                  std::nullopt,
                                                  nullptr,
                                                  environment_,
                                                  metrics_,
                                                  log_,
                                                  clock_});
  }
  static Input Answer(api::PersistOutcome outcome) {
    membership::Persisted persisted;
    persisted.outcome = outcome;
    return Input(membership::Event(persisted));
  }
  // A reign whose term is in the record and that has planned once.
  std::unique_ptr<Reign> MakeListening() {
    auto reign = Make();
    reign->Begin();
    reign->Take(Answer(api::PersistOutcome::kOk));
    reign->Turn();
    return reign;
  }
  Input Running(const job::CreatePod& created) {
    job::Pod pod;
    pod.name = created.name;
    pod.uid = "uid-of-" + created.name;
    pod.member = created.member;
    pod.phase = job::PodPhase::kRunning;
    pod.start_time = clock_.WallNow();
    return Input(job::Change(job::PodChanged{pod}));
  }
  static std::vector<std::string> Members(const std::vector<job::CreatePod>& creates) {
    std::vector<std::string> members;
    for (const job::CreatePod& created : creates) members.push_back(base::ToString(created.member));
    return members;
  }

  api::TrainingJob job_;
  runtime::ManualClock clock_{base::WallTime(seconds(1000000))};
  runtime::Metrics registry_;
  JobMetrics metrics_{registry_, "default"};
  const runtime::Logger log_{{}};
  PlayedEnvironment environment_;
};

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

// A coordinator that was frozen and has a successor must acknowledge nothing that is not in the audit.
TEST_F(ReignTest, WhoeverFindsAnothersLinesInTheAuditReignsNoLongerAndAcknowledgesNothing) {
  const local::Scratch scratch;
  const std::string path = scratch.path() + "/audit.jsonl";
  job_.spec.workers.replicas = job_.spec.workers.max_replicas = 1;
  auto audit = AuditLog::Open(path);
  ASSERT_TRUE(audit.ok());
  auto reign = std::make_unique<Reign>(Reign::Options{{job_},
                                                      "token",
                                                      "",
                                                      1,
                                                      std::nullopt,
                                                      std::move(*audit),
                                                      environment_,
                                                      metrics_,
                                                      log_,
                                                      clock_});
  reign->Begin();
  reign->Take(Answer(api::PersistOutcome::kOk));
  reign->Turn();
  for (const job::CreatePod& created : std::vector(environment_.creates)) {
    reign->Take(Running(created));
  }
  const auto say = [&](api::MemberMessage message) {
    reign->Take(Input(membership::Event(membership::Received{1, {{}, std::move(message)}})));
  };
  api::Hello hello;
  hello.job_uid = job_.uid;
  hello.token = "token";
  hello.member = {0, 0};
  hello.kernel_families = {"Haswell"};
  say(hello);
  say(api::Warm{"host:7000", "Haswell", "data", 10, 2.1});
  const auto view = [&]() -> const api::View* {
    for (const api::FromCoordinator& sent : environment_.sent) {
      if (const auto* install = std::get_if<api::InstallView>(&sent.message)) return &install->view;
    }
    return nullptr;
  };
  std::size_t answered = 1;
  for (int i = 0; i < 100 && view() == nullptr; ++i) {
    clock_.Advance(milliseconds(20));
    reign->Turn();
    for (; answered < environment_.persists.size(); ++answered) {
      reign->Take(Answer(api::PersistOutcome::kOk));
    }
  }
  ASSERT_NE(view(), nullptr);
  const base::Epoch epoch = view()->epoch;
  say(api::Installed{epoch, base::Step(1), 0, 0.01, 0.02});
  api::Committed committed;
  committed.epoch = epoch;
  committed.tokens = 128;
  committed.slots_computed = 16;
  const auto commit = [&](std::int64_t step) {
    committed.step = base::Step(step);
    say(committed);
    clock_.Advance(milliseconds(20));
    reign->Turn();
  };
  const auto acknowledged = [&] {
    base::Step last;
    for (const api::FromCoordinator& sent : environment_.sent) {
      if (const auto* ack = std::get_if<api::CommitAck>(&sent.message)) last = ack->step;
    }
    return last;
  };
  commit(1);
  ASSERT_EQ(acknowledged(), base::Step(1));
  ASSERT_FALSE(reign->ended());
  std::ofstream(path, std::ios::app) << "{\"step\":2}\n";  // the successor's
  commit(2);
  ASSERT_TRUE(reign->ended());
  EXPECT_TRUE(absl::IsAborted(*reign->ended()));
  EXPECT_EQ(acknowledged(), base::Step(1));
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
