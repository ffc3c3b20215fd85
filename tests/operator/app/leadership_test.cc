// A process that leads, against the API-server double: jobs arrive, pods are made, a loss is
// replaced, a job goes, another leader takes over. Members are not played here.
#include "operator/app/leadership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "operator/api/training_job_json.h"
#include "operator/app/authority.h"
#include "tests/kube/api_double.h"
#include "tests/kube/players.h"
#include "tests/kube/transport.h"

namespace muster::app {
namespace {

using kubetest::Json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::HasSubstr;
using testing::SizeIs;

constexpr char kJobs[] = "/apis/muster.dev/v1alpha1/namespaces/default/trainingjobs";

class SilentStreams final : public StreamServer {
 public:
  explicit SilentStreams(std::atomic<int>& accepted) : accepted_(accepted) {}
  void Accept(const std::string&) override { ++accepted_; }
  void Refuse(const std::string&) override { --accepted_; }
  void Send(membership::StreamId, const api::FromCoordinator&) override {}
  void CloseStream(membership::StreamId) override {}
  void Shutdown() override {}

 private:
  std::atomic<int>& accepted_;
};

class LeadershipTest : public testing::Test {
 protected:
  LeadershipTest() {
    players_.AddNode("n1");
    players_.AddNode("n2");
  }
  ~LeadershipTest() override {
    leadership_.reset();
    api_.Close();
  }

  void Lead(const std::string& image = "muster/worker:test") {
    Leadership::Options options{client_,  clock_, log_,
                                metrics_, fleet_, [this] { return may_write_.load(); }};
    options.worker.image = image;
    options.worker.coordinators = {"muster-membership.muster-system.svc:7420"};
    options.ca_bundle = [this] { return bundle_; };
    options.repair_every = repair_every_;
    options.instance = "test";
    options.make_streams = [this](const StreamCallbacks&) {
      return absl::StatusOr<std::unique_ptr<StreamServer>>(
          std::make_unique<SilentStreams>(accepted_));
    };
    auto leadership = Leadership::Begin(std::move(options));
    ASSERT_TRUE(leadership.ok()) << leadership.status();
    leadership_ = *std::move(leadership);
  }
  void MakeJob(const std::string& name, int replicas) {
    api::TrainingJob job;
    job.name = name;
    job.spec.workers.replicas = replicas;
    job.spec.program.builtin = api::Builtin::kBench;
    job.spec.training.steps = 10;
    Json body = Json::parse(api::TrainingJobToJson(job));
    body["metadata"] = {{"name", name}};
    body.erase("status");
    ASSERT_EQ(api_.Ask("POST", kJobs, body).code, 201);
  }
  // True as soon as `done` is; false after 20 s.
  bool Within(const std::function<bool()>& done) {
    for (int i = 0; i < 2000; ++i) {
      if (done()) return true;
      players_.Step();
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }
  std::vector<Json> Pods() { return api_.All("pods", "default"); }
  int Running() {
    int running = 0;
    for (const Json& pod : Pods()) {
      if (pod["status"].value("phase", "") == "Running") ++running;
    }
    return running;
  }
  Json Status(const std::string& name) {
    const auto job = api_.Find("trainingjobs", "default", name);
    return job ? job->value("status", Json::object()) : Json::object();
  }
  std::set<std::string> Reasons() {
    std::set<std::string> out;
    for (const Json& event : api_.All("events", "default")) out.insert(event["reason"]);
    return out;
  }
  int Creates() {
    int creates = 0;
    for (const kubetest::WriteRecord& write : api_.Writes()) {
      if (write.verb == "create" && write.resource == "pods" && write.code == 201) ++creates;
    }
    return creates;
  }

  int WritesOf(const std::string& resource) {
    const auto writes = api_.Writes();
    return static_cast<int>(std::count_if(writes.begin(), writes.end(), [&](const auto& write) {
      return write.resource == resource && write.code < 300;
    }));
  }

  const runtime::RealClock clock_;
  std::string bundle_ = "PEM";
  base::Duration repair_every_ = std::chrono::hours(1);
  kubetest::ApiDouble api_{{}, clock_};
  kubetest::Players players_{api_};
  kubetest::DoubleTransport transport_{api_};
  kube::Client client_{transport_};
  runtime::Metrics metrics_;
  FleetMetrics fleet_{metrics_};
  const runtime::Logger log_{{}};
  std::atomic<bool> may_write_ = true;
  std::atomic<int> accepted_ = 0;
  std::unique_ptr<Leadership> leadership_;
};

TEST_F(LeadershipTest, AJobGetsItsTermItsPodsAndWhatStandsBesideThem) {
  Lead();
  MakeJob("licences", 2);
  ASSERT_TRUE(Within([&] { return Running() == 2; }));
  ASSERT_TRUE(Within([&] { return accepted_ == 1; }));
  const Json status = Status("licences");
  EXPECT_EQ(status["membership"]["term"], 1);
  ASSERT_TRUE(Within([&] { return Status("licences").value("state", "") == "Starting"; }));
  ASSERT_TRUE(Within([&] { return Reasons().contains("PodCreated"); }));
  EXPECT_THAT(api_.All("configmaps", "default"), SizeIs(1));
  EXPECT_THAT(api_.All("services", "default"), SizeIs(1));
  EXPECT_THAT(api_.All("poddisruptionbudgets", "default"), SizeIs(1));
  EXPECT_THAT(api_.All("networkpolicies", "default"), SizeIs(1));
  const Json pod = Pods().front();
  EXPECT_EQ(pod["spec"]["containers"][0]["image"], "muster/worker:test");
  EXPECT_THAT(metrics_.Text(), HasSubstr("muster_trainingjob_desired_world_size{job_name="
                                         "\"licences\",namespace=\"default\"} 2\n"));
}

TEST_F(LeadershipTest, ALostPodIsReplacedOnce) {
  Lead();
  MakeJob("licences", 2);
  ASSERT_TRUE(Within([&] { return Running() == 2; }));
  const std::string lost = Pods().front()["metadata"]["name"];
  ASSERT_TRUE(players_.EvictByKubelet("default", lost));
  ASSERT_TRUE(Within([&] { return Creates() == 3 && Running() == 2; }));
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_EQ(Creates(), 3);
}

// Whoever takes over between the two would not know of it.
TEST_F(LeadershipTest, ALossIsWrittenDownBeforeAnythingIsDoneAboutIt) {
  Lead();
  MakeJob("licences", 2);
  ASSERT_TRUE(Within([&] { return Running() == 2; }));
  ASSERT_TRUE(Within([&] { return Reasons().contains("PodCreated"); }));
  const int away = api_.AddFault({.verb = "patch",
                                  .resource = "trainingjobs",
                                  .subresource = "status",
                                  .nth = 0,
                                  .times = 0,
                                  .action = kubetest::AnswerWith{503}});
  ASSERT_TRUE(players_.Finish("default", Pods().front()["metadata"]["name"], 1));
  ASSERT_TRUE(Within([&] { return api_.FaultCount(away) > 2; }));
  EXPECT_EQ(Creates(), 2);
  api_.ClearFaults();
  ASSERT_TRUE(Within([&] { return Creates() == 3; }));
  EXPECT_EQ(Status("licences")["failures"].size(), 1);
}

// One job trains with one build: whoever comes with another image goes on with the job's own.
TEST_F(LeadershipTest, AnUpgradedOperatorReplacesAWorkerByOneOfTheSameImage) {
  const auto image = [](const Json& pod) { return pod["spec"]["containers"][0]["image"]; };
  Lead("muster/worker:old");
  MakeJob("licences", 2);
  ASSERT_TRUE(Within([&] { return Running() == 2; }));
  EXPECT_EQ(Status("licences")["workerImage"], "muster/worker:old");
  leadership_.reset();
  Lead("muster/worker:new");
  ASSERT_TRUE(players_.EvictByKubelet("default", Pods().front()["metadata"]["name"]));
  ASSERT_TRUE(Within([&] { return Creates() == 3 && Running() == 2; }));
  for (const Json& pod : Pods()) EXPECT_EQ(image(pod), "muster/worker:old");
  MakeJob("later", 1);
  ASSERT_TRUE(Within([&] { return Running() == 3; }));
  EXPECT_EQ(Status("later")["workerImage"], "muster/worker:new");
}

// Or the next operator might come with another image between the pods and the status.
TEST_F(LeadershipTest, TheImageIsWrittenDownBeforeAPodIsMadeOfIt) {
  std::atomic<int> known = 0, unknown = 0;
  api_.SetAfterWrite([&](const kubetest::WriteRecord& write) {
    if (write.verb != "create" || write.resource != "pods") return;
    ++(Status("licences").value("workerImage", "") == "muster/worker:test" ? known : unknown);
  });
  api_.AddFault({.verb = "patch",
                 .resource = "trainingjobs",
                 .subresource = "status",
                 .nth = 0,
                 .times = 0,
                 .action = kubetest::Delay{milliseconds(100)}});
  Lead();
  MakeJob("licences", 2);
  ASSERT_TRUE(Within([&] { return known + unknown == 2; }));
  EXPECT_EQ(unknown, 0);
  leadership_.reset();
  api_.SetAfterWrite(nullptr);
}

TEST_F(LeadershipTest, AJobThatGoesTakesEverythingWithIt) {
  Lead();
  MakeJob("licences", 2);
  ASSERT_TRUE(Within([&] { return Running() == 2 && accepted_ == 1; }));
  ASSERT_EQ(api_.Ask("DELETE", std::string(kJobs) + "/licences").code, 200);
  ASSERT_TRUE(Within([&] { return Pods().empty() && accepted_ == 0; }));
  EXPECT_THAT(api_.All("configmaps", "default"), SizeIs(0));
  // The garbage collector may be told of the job's end before we are: what was made for it in that
  // moment has no owner either, and nothing follows.
  const int creates = Creates();
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_EQ(Creates(), creates);
  ASSERT_TRUE(Within([&] { return Pods().empty(); }));
  EXPECT_EQ(metrics_.Text().find("job_name"), std::string::npos);
}

TEST_F(LeadershipTest, TheNextLeaderTakesTheNextTermAndMakesNothingTwice) {
  Lead();
  MakeJob("licences", 2);
  ASSERT_TRUE(Within([&] { return Running() == 2 && accepted_ == 1; }));
  leadership_.reset();
  accepted_ = 0;
  Lead();
  ASSERT_TRUE(Within([&] { return accepted_ == 1; }));
  EXPECT_EQ(Status("licences")["membership"]["term"], 2);
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_EQ(Creates(), 2);
}

TEST_F(LeadershipTest, TheNextLeaderLeavesAloneWhatHasNotChanged) {
  Lead();
  MakeJob("licences", 2);
  ASSERT_TRUE(Within([&] { return Running() == 2 && Status("licences").contains("objectsHash"); }));
  const std::vector<std::string> beside = {"configmaps", "services", "poddisruptionbudgets",
                                           "networkpolicies"};
  for (const std::string& resource : beside) EXPECT_EQ(WritesOf(resource), 1) << resource;
  leadership_.reset();
  Lead();
  ASSERT_TRUE(Within([&] { return Status("licences")["membership"]["term"] == 2; }));
  std::this_thread::sleep_for(milliseconds(300));
  for (const std::string& resource : beside) EXPECT_EQ(WritesOf(resource), 1) << resource;

  leadership_.reset();
  bundle_ = "ANOTHER";
  Lead();
  ASSERT_TRUE(Within([&] { return WritesOf("configmaps") == 2; }));
}

// A job whose pods wait has no other reason to write its status again.
TEST_F(LeadershipTest, TheObjectsAreInTheStatusAlsoWhenTheyCameAfterIt) {
  kubetest::FaultRule late{.verb = "patch", .resource = "services"};
  late.times = 4;
  late.action = kubetest::AnswerWith{503};
  const int refused = api_.AddFault(late);
  Lead();
  MakeJob("licences", 2);
  ASSERT_TRUE(Within([&] { return Creates() == 2; })) << "pods wait for the status alone";
  EXPECT_FALSE(Status("licences").contains("objectsHash"));
  ASSERT_TRUE(Within([&] { return Status("licences").contains("objectsHash"); }));
  EXPECT_EQ(api_.FaultCount(refused), 4);
}

TEST_F(LeadershipTest, WhatWasWantedWhileItMayNotWriteIsDoneWhenItMay) {
  Lead();
  MakeJob("licences", 2);
  ASSERT_TRUE(Within([&] { return Running() == 2 && accepted_ == 1; }));
  may_write_ = false;
  players_.Finish("default", Pods()[0]["metadata"]["name"], 1);
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_EQ(Creates(), 2);
  may_write_ = true;
  EXPECT_TRUE(Within([&] { return Creates() == 3; }));
  EXPECT_EQ(accepted_, 1) << "the reign has gone on";
}

TEST_F(LeadershipTest, WhatSomebodyDeletedBesideThePodsIsPutBack) {
  Lead();
  MakeJob("licences", 2);
  ASSERT_TRUE(Within([&] { return Running() == 2 && Status("licences").contains("objectsHash"); }));
  leadership_.reset();
  const std::string name = api_.All("services", "default")[0]["metadata"]["name"];
  ASSERT_LT(api_.Ask("DELETE", "/api/v1/namespaces/default/services/" + name).code, 300);
  repair_every_ = milliseconds(300);
  Lead();
  EXPECT_TRUE(Within([&] { return api_.All("services", "default").size() == 1; }));
}

TEST_F(LeadershipTest, WhoDoesNotLeadWritesNothing) {
  may_write_ = false;
  Lead();
  MakeJob("licences", 2);
  ASSERT_TRUE(Within([&] { return leadership_->Synced(); }));
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_THAT(api_.Writes(), SizeIs(0));
}

TEST_F(LeadershipTest, AReignThatAnotherHasDeposedBeginsAnew) {
  Lead();
  MakeJob("licences", 1);
  ASSERT_TRUE(Within([&] { return accepted_ == 1; }));
  // A former leader's write that lands late: the record is another than this reign's.
  ASSERT_TRUE(api_.Change("trainingjobs", "default", "licences", [](Json& job) {
    job["status"]["membership"]["term"] = 5;
    job["status"]["membership"]["nonce"] = "77";
  }));
  // The next thing that is persisted finds it out: a second replica alone persists nothing, a new
  // leader's term does.
  leadership_.reset();
  accepted_ = 0;
  Lead();
  ASSERT_TRUE(Within([&] { return accepted_ == 1; }));
  EXPECT_EQ(Status("licences")["membership"]["term"], 6);
}

TEST_F(LeadershipTest, AJobOfAnotherControllerIsLeftAlone) {
  Lead();
  MakeJob("ours", 1);
  api::TrainingJob job;
  job.name = "theirs";
  job.spec.workers.replicas = 1;
  job.spec.managed_by = "kueue.x-k8s.io/multikueue";
  Json body = Json::parse(api::TrainingJobToJson(job));
  body["metadata"] = {{"name", "theirs"}};
  body.erase("status");
  ASSERT_EQ(api_.Ask("POST", kJobs, body).code, 201);
  ASSERT_TRUE(Within([&] { return Running() == 1; }));
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_EQ(Creates(), 1);
  EXPECT_TRUE(Status("theirs").empty());
}

TEST_F(LeadershipTest, AJobWhoseSpecIsNotTheOneItTrainsByIsHeld) {
  Lead();
  MakeJob("licences", 1);
  ASSERT_TRUE(Within([&] { return accepted_ == 1 && Status("licences").contains("specHash"); }));
  leadership_.reset();
  accepted_ = 0;
  ASSERT_TRUE(api_.Change("trainingjobs", "default", "licences",
                          [](Json& job) { job["spec"]["training"]["steps"] = 11; }));
  Lead();
  ASSERT_TRUE(Within([&] {
    const Json status = Status("licences");
    for (const Json& condition : status.value("conditions", Json::array())) {
      if (condition["type"] == "Admitted" && condition["reason"] == "SpecChanged") return true;
    }
    return false;
  }));
  EXPECT_EQ(accepted_, 0);
  EXPECT_EQ(Status("licences")["membership"]["term"], 1);
}

TEST_F(LeadershipTest, AJobThatEndedBeforeItsLeaderCameGoesWhenItsTimeIsOver) {
  api::TrainingJob job;
  job.name = "old";
  job.spec.workers.replicas = 1;
  job.spec.ttl_seconds_after_finished = 0;
  job.status.state = api::JobState::kSucceeded;
  job.status.conditions.push_back(
      {"Succeeded", "True", "AllStepsCommitted", "done", clock_.WallNow() - seconds(60)});
  const Json whole = Json::parse(api::TrainingJobToJson(job));
  MakeJob("old", 1);
  ASSERT_TRUE(api_.Change("trainingjobs", "default", "old", [&](Json& stored) {
    stored["spec"] = whole["spec"];
    stored["status"] = whole["status"];
  }));
  Lead();
  ASSERT_TRUE(Within([&] { return !api_.Find("trainingjobs", "default", "old").has_value(); }));
  EXPECT_EQ(Creates(), 0);
  EXPECT_EQ(accepted_, 0);
}

}  // namespace
}  // namespace muster::app
