// Decides which fault fires when: pure, from what the cluster reports to what the cluster shall do.
//
//   waiting --trigger--> due --target there, no phase------------------------------> fired
//                         |--target there, phase: `break` armed--> it stops itself --> fired
// A due fault waits for its target: worker-K is whoever holds ordinal K then, and a replacement is
// armed again. A stopped target wakes after the fault's duration.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "operator/base/ids.h"
#include "operator/base/time.h"
#include "operator/local/fault.h"

namespace muster::local {

struct SignalPod {
  base::MemberId member;
  int signal = 0;
  friend bool operator==(const SignalPod&, const SignalPod&) = default;
};
// The whole node at once; its loss is the cluster's, not the job's.
struct KillNode {
  std::string node;
  friend bool operator==(const KillNode&, const KillNode&) = default;
};
struct KillCoordinator {
  friend bool operator==(const KillCoordinator&, const KillCoordinator&) = default;
};
// A line for the standard input of the pod's process.
struct ArmBreak {
  base::MemberId member;
  FaultPhase phase = FaultPhase::kForward;
  base::Step step;
  friend bool operator==(const ArmBreak&, const ArmBreak&) = default;
};
struct SetReplicas {
  std::int32_t replicas = 0;
  friend bool operator==(const SetReplicas&, const SetReplicas&) = default;
};
struct AddReplica {
  friend bool operator==(const AddReplica&, const AddReplica&) = default;
};
// For people.
struct Announce {
  std::string fault;
  std::string detail;
  friend bool operator==(const Announce&, const Announce&) = default;
};
using FaultAction =
    std::variant<SignalPod, KillNode, KillCoordinator, ArmBreak, SetReplicas, AddReplica, Announce>;
using FaultActions = std::vector<FaultAction>;

class FaultEngine final {
 public:
  // `start` is the instant from which @time counts.
  FaultEngine(std::vector<Fault> faults, base::Time start);

  // The first view trains on from `committed`. Faults of steps before that belong to an earlier
  // run.
  FaultActions OnTraining(base::Time now, base::Step committed);
  FaultActions OnStepCommitted(base::Time now, base::Step step);
  FaultActions OnTick(base::Time now);
  FaultActions OnPodStarted(base::Time now, base::MemberId member, const std::string& node);
  FaultActions OnPodGone(base::Time now, base::MemberId member);
  // The process stopped, by itself or by a signal from anybody.
  FaultActions OnPodStopped(base::Time now, base::MemberId member);

  // A stop of this pod is our doing and ends by itself: nobody shall kill it meanwhile.
  bool WillWake(base::MemberId member) const;
  bool WaitsForStop() const;
  std::vector<std::string> Unfired() const;

 private:
  enum class Stage { kWaiting, kDue, kFired, kSkipped };
  struct Tracked {
    Fault fault;
    Stage stage = Stage::kWaiting;
    std::set<base::MemberId> armed;
  };
  struct Sleeper {
    base::MemberId member;
    base::Time wake;
  };

  FaultActions Advance(base::Time now);
  void TryFire(base::Time now, Tracked& tracked, FaultActions& actions);
  void Strike(base::Time now, Tracked& tracked, const std::vector<base::MemberId>& targets,
              FaultActions& actions);
  std::vector<base::MemberId> Targets(const Fault& fault) const;

  base::Time start_;
  std::vector<Tracked> faults_;
  std::map<base::MemberId, std::string> pods_;  // running, with their nodes
  std::vector<Sleeper> sleepers_;
  std::optional<base::Step> committed_;  // highest reported
};

}  // namespace muster::local
