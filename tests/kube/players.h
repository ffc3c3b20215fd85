// The rest of a cluster, a step at a time: what a real one has in other programs.
//
// Nothing moves by itself: a test calls a step when it wants one, and so decides what happens before
// what. Each step gives how many objects it changed; stepping until nothing changes is Settle().
// Writes of players are not in the double's log.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "tests/kube/api_double.h"

namespace muster::kubetest {

// What runs in the pods of a test that plays more than objects. Called in StepKubelets.
class Containers {
 public:
  virtual ~Containers() = default;
  // The pod is bound and pending. False: it cannot start yet, and is asked for again.
  virtual bool Start(const Json& pod) = 0;
  // The pod is asked to go. With what its process has ended; nothing: it still runs.
  virtual std::optional<int> Stop(const Json& pod) = 0;
};

class Players final {
 public:
  // `api` outlives it, and so do `containers`; without any every process starts and ends at once.
  explicit Players(ApiDouble& api, Containers* containers = nullptr)
      : api_(api), containers_(containers) {}

  // ---- nodes
  // Ready, with room for so many pods.
  void AddNode(const std::string& name, int pods = 110, const Json& labels = Json::object());
  // Its kubelet says and does nothing more; pods on it stay as they are, for ever.
  void LoseNode(const std::string& name) { lost_.insert(name); }
  void ReturnNode(const std::string& name);
  // What the node controller does some 40 s after the kubelet's last word.
  void MarkNotReady(const std::string& name);
  void Cordon(const std::string& name, bool cordoned);

  // ---- one step of each
  // Deletes what has lost all its owners, ends foreground deletions, orphans, empties namespaces.
  int Collect();
  // Binds pods to Ready nodes with room that their nodeSelector and taints allow; a preference
  // against nodes counts, a pod for which there is none says Unschedulable.
  int Schedule();
  // Pods of live nodes: Pending becomes Running and Ready, and what is being deleted ends and goes.
  int StepKubelets();
  // The status of PodDisruptionBudgets.
  int CountBudgets();
  int Step() { return Collect() + Schedule() + StepKubelets() + CountBudgets(); }
  // Until nothing moves any more; at most `steps`.
  int Settle(int steps = 20);

  // ---- what happens in a pod
  // The container ends by itself; the pod becomes Succeeded or Failed.
  bool Finish(const std::string& ns, const std::string& pod, int exit_code,
              const std::string& reason = "");
  bool SetReady(const std::string& ns, const std::string& pod, bool ready);
  // The node's own pressure: Failed with reason Evicted and DisruptionTarget by the kubelet.
  bool EvictByKubelet(const std::string& ns, const std::string& pod);

 private:
  bool CollectOne(const Kind& kind, const Json& object);
  bool EndForeground(const Kind& kind, const Json& object);
  bool Orphan(const Kind& kind, const Json& object);
  bool EmptyNamespace(const Json& ns);
  bool StepPod(const Json& pod);
  int Room(const std::string& node) const;
  std::string NodeFor(const Json& pod) const;

  ApiDouble& api_;
  Containers* const containers_;
  std::set<std::string> lost_;
  int addresses_ = 0;
};

// Puts a condition in, its time only where its status changes.
void PutCondition(Json& object, const Json& condition, const std::string& now);

}  // namespace muster::kubetest
