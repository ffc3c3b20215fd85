// The workers of one job, played in this process. Each is a session with a stream of its own to the
// operator, over TLS and with its pod's token, as a worker program has; what is trained are the
// integers of the simulation (tests/sim/numbers.h), and the ring is a table. So an operator cannot
// tell them from worker programs, and a whole job costs no processor time.
//
// One thread does what sessions command. The functions are safe from every thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "operator/runtime/clock.h"
#include "operator/runtime/mutex.h"
#include "tests/crash/ring_table.h"
#include "worker/rpc/client.h"
#include "worker/rpc/credentials.h"

namespace muster::crash {

class Workers final {
 public:
  struct Options {
    std::int32_t slots = 8;
    std::int64_t steps = 1;
    // One step of one worker; of several each does its share of it.
    base::Duration step_time = std::chrono::milliseconds(100);
    // From the thread of its own: the process has ended by itself.
    std::function<void(const std::string& pod_uid, int exit_code)> on_exit;
  };
  struct Process {
    std::string pod_uid;
    std::string job_uid;
    base::MemberId member;
    std::string node;
    std::string coordinator;  // HOST:PORT
    std::string token_file;
    std::string ca_file;
  };
  explicit Workers(Options options);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void Start(Process process);
  void Terminate(const std::string& pod_uid, double grace_seconds);
  // SIGKILL; on_exit says nothing of it. Has happened when it returns.
  void Kill(const std::string& pod_uid);
  // From the next slot on.
  void SetStepTime(base::Duration step_time);

  // Sentences about what a member or its numbers did that no fault explains.
  std::vector<std::string> Wrongs() const;
  // What they have said, a line each: for whoever looks into a life that went wrong.
  std::string Words() const;

 private:
  struct Worker;
  using WorkerPtr = std::shared_ptr<Worker>;
  using Action = std::function<void()>;

  void Run();
  void At(base::Duration delay, Action action);
  // Not if the process has ended by then.
  void Later(const WorkerPtr& worker, base::Duration delay, Action action);
  void Post(const WorkerPtr& worker, session::Event event);
  void Wrong(const Worker& worker, const std::string& what);
  void Say(base::MemberId member, const std::string& what);
  WorkerPtr Find(const std::string& pod_uid) const;
  WorkerPtr Find(base::MemberId member) const;

  void Begin(const WorkerPtr& worker);
  void End(const WorkerPtr& worker);
  void Handle(const WorkerPtr& worker, const session::Event& event);
  void Obey(const WorkerPtr& worker, const session::Command& command);
  void ObeyDisk(const WorkerPtr& worker, const session::Command& command);
  void Compute(const WorkerPtr& worker);
  void Fetch(const WorkerPtr& worker, const api::View& view, int tries);
  void Apply(Worker& worker, const WorkerPtr& self, base::Step step);
  void Confirm(base::MemberId member, const session::Reduced& outcome, const sim::Sum& whole);

  const Options options_;
  const runtime::RealClock clock_;
  const sim::Numbers numbers_;
  const std::vector<std::uint64_t> fault_free_;
  mutable runtime::Mutex mutex_;
  runtime::Condition changed_;
  std::multimap<base::Time, Action> actions_ MUSTER_GUARDED_BY(mutex_);
  std::vector<std::string> wrongs_ MUSTER_GUARDED_BY(mutex_);
  std::string words_ MUSTER_GUARDED_BY(mutex_);
  base::Duration step_time_ MUSTER_GUARDED_BY(mutex_);
  bool over_ MUSTER_GUARDED_BY(mutex_) = false;
  // The thread's own.
  std::vector<WorkerPtr> workers_;
  RingTable rings_;
  std::map<std::string, sim::ModelState> manifests_;  // by digest: the disk that they share
  std::jthread thread_;
};

}  // namespace muster::crash
