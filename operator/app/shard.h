// Some of the jobs that this process coordinates, each with its reign, on one thread.
//
// A job arrives with the watch, its record is read, and its reign begins; until then what is told of
// it is kept. A reign that another coordinator has deposed begins anew from what is stored: whoever
// leads by the lease is the one to go on. A job that is gone is dissolved and forgotten.
//
//   JobSeen --> reading --Opened--> reigning --JobGone--> (dissolved)
//                  ^                    |
//                  +----- deposed ------+   after a back-off
//
// Post is safe from every thread and waits while the inbox is full.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include "operator/app/fleet_metrics.h"
#include "operator/app/kube_environment.h"
#include "operator/app/reign.h"
#include "operator/kube/projection.h"
#include "operator/runtime/bounded_queue.h"

namespace muster::app {

// ---- what a shard is told, by uid of the job
struct JobSeen {
  using Job = std::shared_ptr<const kube::JobRecord>;  // the store's own
  Job job;
};
struct JobGone {};
// The first lists of jobs and pods are told in full; to every job of the shard, its uid is empty.
struct ListsComplete {};
// One node is another now; to every job of the shard, its uid is empty.
struct NodeSeen {
  job::Node node;
};
struct Opened {
  std::optional<api::Record> record;
  bool gone = false;  // there is no such job any more
};
struct Letter {
  std::string job_uid;
  std::variant<JobSeen, JobGone, ListsComplete, NodeSeen, Opened, Input> what;
};

class Shard final {
 public:
  struct Options {
    const KubeServices& services;
    FleetMetrics& metrics;
    std::string audit_dir;  // empty: no audit
    base::Duration repair_every =
        std::chrono::hours(1);  // of each job's objects, by a tenth at most
  };
  explicit Shard(Options options);
  ~Shard();  // Close, and waits for the thread
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  void Post(Letter letter) { inbox_.Push(std::move(letter)); }
  // Nothing more is taken in or done: whoever still posts does not wait.
  void Close() { inbox_.Close(); }

 private:
  struct Job;

  void Run();
  void Take(Letter letter);
  void OnJob(Job& job, JobSeen::Job seen);
  void OnInput(Job& job, Input input);
  void OnNode(const job::Node& node);
  // For a job without a reign.
  void WriteConditions(const Job& job, const job::Plan& plan);
  void Hold(Job& job);
  void Open(Job& job);
  void Begin(Job& job, std::optional<api::Record> record);
  std::unique_ptr<AuditLog> OpenAudit(const api::TrainingJob& job, bool first) const;
  void End(Job& job);
  void EndReign(Job& job);
  void TurnAll();
  void Turn(Job& job);
  void TendEnded(Job& job);
  base::Time NextWake() const;

  const Options options_;
  // all -> shard, 8192, when full: the sender waits. A gRPC thread that waits holds up its streams,
  // whose late beats the coordinator's own lateness excuses (M3).
  runtime::BoundedQueue<Letter> inbox_{8192, runtime::WhenFull::kBlock};
  bool lists_complete_ = false;
  std::map<std::string, std::unique_ptr<Job>> jobs_;  // by uid
  std::map<std::string, job::Node> nodes_;            // by name, those that are there
  std::jthread thread_;
};

}  // namespace muster::app
