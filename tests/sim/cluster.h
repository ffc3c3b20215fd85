// The simulated machine room: pods by the shipped plan, workers, coordinators, and what must hold
// of all of them together.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "operator/job/plan.h"
#include "tests/sim/coordinator.h"
#include "tests/sim/disk.h"
#include "tests/sim/network.h"
#include "tests/sim/numbers.h"
#include "tests/sim/parents.h"
#include "tests/sim/ring.h"
#include "tests/sim/worker.h"
#include "tests/sim/world.h"

namespace muster::sim {

inline constexpr char kJobUid[] = "job-uid";
inline constexpr char kToken[] = "token";
inline constexpr base::Duration kHeartbeatTimeout = std::chrono::seconds(1);

class Cluster {
 public:
  Cluster(World& world, const Numbers& numbers, api::TrainingJob job);

  World& world;
  const Numbers numbers;
  api::TrainingJob job;
  Disk disk;
  Network network;
  Parents parents;
  Rings rings;
  std::vector<std::uint64_t> reference;  // digests of the fault-free run, by step

  // Goals and counts.
  bool succeeded = false;
  std::int64_t roll_backs = 0;
  // As many views leave in a process what it had better start again for; 0: nothing is left.
  std::int64_t leak_after = 0;
  std::string device;                         // as members say it: what they reduce through
  std::int64_t highest = 0;                   // step that anybody committed
  std::function<void(std::int64_t)> on_step;  // a step is committed for the first time

  std::vector<Worker*> Living() const;
  Coordinator* Leader() const;  // the newest that runs
  void StartCoordinator();
  const std::vector<std::unique_ptr<Coordinator>>& coordinators() const { return coordinators_; }
  bool Over() const;
  // steps.jsonl has each step once, in order; there is none without a checkpoint path.
  void CheckLines() const;

  // Told by the processes.
  void Ended(Worker& worker);
  void Committed(Worker& worker, const ModelState& state);
  void Restored(Worker& worker, base::Step step);
  void Reported(base::Step step);

  // SIGTERM to the worker's pod: to each of its processes, none of which comes again.
  void Terminate(Worker& worker, double grace_seconds);
  // As a pod's parent does it. Pods of one have no parent.
  void KillProcess(base::MemberId member);
  void Evicted(base::MemberId member) { evicted_at_.emplace(member, world.now()); }
  // M4, where a communicator's abort waits for its peers of the same host: the worker aborts because it was
  // told that these are evicted. By then their parent has killed those of its pod, or was not waited for.
  void AbortsAfter(const Worker& worker, const std::vector<base::MemberId>& evicted) const;
  // Living ones of the same pod.
  std::vector<Worker*> SamePod(const Worker& worker) const;

 private:
  void Reconcile();
  job::Observed Observe(const Coordinator& leader) const;
  void Create(const job::CreatePod& create);
  void Delete(const job::DeletePod& deletion);
  base::MemberId PodOf(base::MemberId member) const;
  void StartProcess(const job::Pod& pod, base::MemberId member);
  // What a pod's parent does about the end of a process.
  void EndedInPod(base::MemberId member, std::optional<int> code);

  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Coordinator>> coordinators_;
  std::vector<job::Pod> pods_;
  std::map<std::int32_t, std::int32_t> incarnations_;
  std::vector<base::MemberId> gone_;  // as the cluster sees it, a moment after the fact
  // Of pods with several processes: those that are told to end, and how many of each have.
  std::set<base::MemberId> terminated_;
  std::map<base::MemberId, std::int32_t> over_;
  std::map<base::MemberId, base::Time> evicted_at_;  // by whichever coordinator did it first
  std::int32_t reached_ = 0;
};

}  // namespace muster::sim
