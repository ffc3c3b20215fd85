// A reign in an environment that a test plays by hand.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "operator/app/reign.h"

namespace muster::app {

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

class PlayedReign : public testing::Test {
 protected:
  PlayedReign() {
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
                                                  std::move(audit_),
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
  runtime::ManualClock clock_{base::WallTime(std::chrono::seconds(1000000))};
  runtime::Metrics registry_;
  JobMetrics metrics_{registry_, "default"};
  const runtime::Logger log_{{}};
  PlayedEnvironment environment_;
  std::unique_ptr<AuditLog> audit_;  // of the next reign that is made; null: none
};

}  // namespace muster::app
