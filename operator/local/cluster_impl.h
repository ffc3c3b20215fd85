// The inside of LocalCluster: one loop on one thread that owns job object, processes and socket.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "operator/base/time.h"
#include "operator/local/api_server.h"
#include "operator/local/cluster.h"
#include "operator/local/fault_engine.h"
#include "operator/local/process_table.h"
#include "operator/local/state_dir.h"
#include "operator/runtime/clock.h"

namespace muster::local {

class LocalCluster::Impl final {
 public:
  Impl(ClusterOptions options, std::unique_ptr<StateDir> state_dir, UniqueFd port_holder, int port,
       std::unique_ptr<ApiServer> server, std::unique_ptr<ProcessTable> processes, UniqueFd wake);

  absl::StatusOr<Outcome> Run();
  void Request(std::atomic<bool>& what);

  std::atomic<bool> drain_requested{false};
  std::atomic<bool> end_requested{false};

  const StateDir& state_dir() const { return *state_dir_; }
  const std::string& checkpoint_dir() const { return settings_.checkpoint_dir; }
  bool resumes() const { return resumes_; }

 private:
  // A pod and its process; `deleted` when the object is gone and only the process is left.
  struct Entry {
    job::Pod pod;
    pid_t pid = 0;
    std::string log;
    bool stopped = false;
    bool deleted = false;
    std::optional<base::Time> kill_at;
  };
  struct CoordinatorProcess {
    pid_t pid = 0;
    base::Time started;
    bool killed_on_purpose = false;
    int quick_deaths = 0;
    base::Time restart_at;
    std::string last_end;  // how the one before ended
  };

  // cluster_loop.cc
  void ResumeStatus();
  void WaitForSomething();
  void TakeRequests();
  void TakeProcessEvents();
  void TakeArrivals();
  void Handle(const CoordinatorRequest& request);
  void Handle(const CreatePodRequest& request);
  void Handle(const DeletePodRequest& request);
  void Handle(const WriteStatus& request);
  void Handle(const Report& report);
  void Handle(const GiveUp& request);
  void Supervise();
  void StartCoordinator();
  void OnCoordinatorExit(const ProcessExited& exited);
  void EnforceGraces();
  void SaveStatus(bool now);
  void Fail(const std::string& reason, const std::string& message);
  bool Finished();
  // cluster_pods.cc
  void StartPod(Entry& entry, const std::string& reason);
  void OnPodExit(Entry& entry, const ProcessExited& exited);
  void OnPodStopped(Entry& entry);
  void RemoveObject(Entry& entry);
  Entry* FindByPid(pid_t pid);
  std::vector<std::string> Environment(const std::vector<std::string>& own) const;
  void Apply(const FaultActions& actions);
  void Apply(const FaultAction& action);
  void ChangeReplicas(std::int32_t replicas);

  void Tell(const LocalEvent& event) const;
  void TellNote(const std::string& text) const { Tell(Note{"cluster", text}); }
  base::Time Now() const { return clock_.Now(); }

  const ClusterOptions options_;
  const runtime::RealClock clock_;
  const std::unique_ptr<StateDir> state_dir_;
  const UniqueFd
      port_holder_;  // bound, never listening: the coordinator's port survives coordinators
  const UniqueFd wake_;
  ClusterSettings settings_;
  bool resumes_ = false;
  api::TrainingJob job_;
  std::map<std::string, Entry> pods_;  // by name
  std::set<base::MemberId> used_;      // ids of this run: none is given twice
  FaultEngine faults_;
  CoordinatorProcess coordinator_;
  std::optional<Ending> ending_;
  std::optional<base::Time> ending_since_;
  base::Time status_saved_;
  bool status_dirty_ = false;
  // The processes go before everything that they talk to.
  const std::unique_ptr<ApiServer> server_;
  const std::unique_ptr<ProcessTable> processes_;
};

}  // namespace muster::local
