// All that a plan may depend on: the job, its pods and what membership says, as plain values.
//
// Whoever observes (operator/app) fills it from the cluster's lists and from the machine's
// snapshot; a test writes it down. Nothing here is remembered by the plan itself: it is
// level-triggered.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/ids.h"
#include "operator/base/shared.h"
#include "operator/base/time.h"

namespace muster::job {

enum class PodPhase { kPending, kRunning, kSucceeded, kFailed };

// A pod as the plan sees it: a few hundred bytes, whatever the cluster is made of.
struct Pod {
  std::string name;
  std::string uid;
  base::MemberId member;  // ordinal and incarnation
  std::string node;
  PodPhase phase = PodPhase::kPending;
  bool deleting = false;         // asked to go; its process may still run
  std::optional<int> exit_code;  // of a finished pod; none: killed by `signal`, or not known
  std::optional<int> signal;
  bool infrastructure_loss = false;  // node gone, preempted, evicted by the cluster: never charged
  std::string message;               // the last words of a finished pod, for people
  std::int64_t pid = 0;              // on one machine
  base::WallTime start_time;
  std::optional<base::WallTime> finish_time;
  std::vector<std::string> conditions;  // types of its true pod conditions
  // On a cluster only.
  bool ready = false;
  std::optional<base::WallTime> deletion_time;      // of a deleted one: when its grace ends
  base::Duration grace = std::chrono::seconds(30);  // that it has to end in; its deletion's own
  std::string waiting_reason;                       // of its container: ImagePullBackOff, ...
  std::string waiting_message;
  std::string unschedulable;  // the scheduler's words; empty: scheduled, or not yet tried
  friend bool operator==(const Pod&, const Pod&) = default;
};

using SharedPod = base::Shared<Pod>;

// A job's pods by name, which is not kept a second time.
class Pods {
 public:
  auto begin() const { return pods_.begin(); }
  auto end() const { return pods_.end(); }
  bool empty() const { return pods_.empty(); }
  // Null: there is none of this name. Until the next change.
  const Pod* Find(const std::string& name) const {
    auto it = pods_.find(name);
    return it == pods_.end() ? nullptr : &**it;
  }
  // In place of the one of its name.
  void Put(SharedPod pod) {
    Remove(pod->name);
    pods_.insert(std::move(pod));
  }
  void Remove(const std::string& name) {
    auto it = pods_.find(name);
    if (it != pods_.end()) pods_.erase(it);
  }

 private:
  struct ByName {
    using is_transparent = void;
    bool operator()(const SharedPod& a, const SharedPod& b) const { return a->name < b->name; }
    bool operator()(const SharedPod& a, const std::string& b) const { return a->name < b; }
    bool operator()(const std::string& a, const SharedPod& b) const { return a < b->name; }
  };
  std::set<SharedPod, ByName> pods_;
};

// Asked to go, by a deletion or by a notice of one (DisruptionTarget); its process may still run.
inline bool IsGoing(const Pod& pod) {
  return pod.deleting || std::find(pod.conditions.begin(), pod.conditions.end(),
                                   "DisruptionTarget") != pod.conditions.end();
}

// A node as the plan sees it. One machine tells of none.
struct Node {
  std::string name;
  bool ready = true;      // its Ready condition is True
  bool cordoned = false;  // no pod is scheduled to it, and those that it has will be asked to go
  bool gone = false;      // its object is deleted, or about to be
  std::string fault;      // the taint or condition that tells of broken hardware; empty: none
  // M3: nobody there is believed to be alive for long, and nobody is convicted for it alone.
  bool suspect() const { return gone || !ready; }
  friend bool operator==(const Node&, const Node&) = default;
};

// What became of creations that the API server refused, by the pod's name.
struct Refusal {
  base::MemberId member;
  std::string reason;   // of reasons.h
  std::string message;  // the server's words
  std::int32_t times = 1;
  base::WallTime last;
  friend bool operator==(const Refusal&, const Refusal&) = default;
};

struct KnownMember {
  base::MemberId id;
  bool in_view = false;
  bool leaving = false;
  bool released = false;  // M15: its pod may go
  friend bool operator==(const KnownMember&, const KnownMember&) = default;
};

// Why a job is over, in the words of its condition.
struct Verdict {
  std::string reason;
  std::string message;
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

// What a member said before it ended by itself.
struct LastWords {
  std::int32_t exit_code = 0;  // that it is about to end with
  std::string message;
  friend bool operator==(const LastWords&, const LastWords&) = default;
};

// A member that was evicted while its pod runs on: its parent makes it good.
struct LostProcess {
  Verdict why;
  base::WallTime since;
  friend bool operator==(const LostProcess&, const LostProcess&) = default;
};

// What membership knows, in the words that a plan needs. The app converts the machine's snapshot
// into it. Ids are those of pods (by_pods.h), which with one process are the members'.
struct MembershipView {
  std::vector<KnownMember> members;  // view in rank order, then leavers, then the waiting room
  std::map<base::MemberId, Verdict> evicted;            // fenced for good, with the reason
  std::map<base::MemberId, base::WallTime> evicted_at;  // when that was first seen
  std::map<base::MemberId, LastWords> last_words;
  std::map<base::MemberId, LostProcess> lost_processes;  // by members' ids
  std::int32_t size = 0;                                 // of the view in force; 0: none
  std::int32_t reached = 0;  // the target that a view last had in full; 0: none yet
  bool had_view = false;
  bool finishing = false;  // M8: somebody holds the state after the last step
  std::optional<base::WallTime> below_min_since;  // M8; only after a first view
  std::optional<Verdict> checkpoint_problem;      // the last checkpoint could not be written
  bool succeeded = false;
  bool drained = false;
  std::optional<Verdict> failed;
  base::WallTime listening_since;  // members cannot have joined before
  friend bool operator==(const MembershipView&, const MembershipView&) = default;
};

struct Observed {
  api::TrainingJob job;  // spec, and the status as written last
  std::vector<Pod> pods;
  // Not one machine: nodes are told of, finished pods stay for their logs, a template makes the
  // pods, and a suspended job is nobody's end.
  bool on_cluster = false;
  std::map<std::string, Node> nodes;  // those that pods or recent losses name
  std::map<std::string, Refusal> refused;
  // Of the job's spec (operator/api/frozen_hash.h); empty on one machine.
  std::string spec_hash;
  std::string template_hash;
  std::string reign_spec_hash;  // of the spec that membership was begun with
  // Of the template (operator/api/worker_gpus.h), or why that cannot be said; 0 on one machine.
  std::int64_t worker_gpus = 0;
  std::string worker_gpus_problem;
  MembershipView membership;
  // Highest incarnation ever seen of an ordinal, by whoever observes: an id is never used twice.
  std::map<std::int32_t, std::int32_t> highest_incarnation;
  // Of an ordinal that whoever observes has never seen: where to begin. Earlier coordinators may
  // have used it; whoever trained took an epoch, and who did not is among the job's failures.
  std::int32_t first_incarnation = 0;
  friend bool operator==(const Observed&, const Observed&) = default;
};

}  // namespace muster::job
