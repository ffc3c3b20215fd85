// Nodes that are to be left. A cordoned one is somebody's drain: its pods are asked to go by the
// eviction API, which the job's disruption budget holds back while the minimum would be broken, so
// one pod more is made there first. Pods on broken hardware are asked to go by us, never below the
// minimum.
#include <algorithm>

#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {
namespace {

// Why the pod's node is to be left; empty: it is not.
std::string WhyLeave(const Observed& observed, const Pod& pod) {
  const Node* node = FindNode(observed, pod.node);
  if (node == nullptr) return "";
  if (!node->fault.empty()) return "node " + node->name + " has " + node->fault;
  return node->cordoned ? "node " + node->name + " is cordoned" : "";
}

bool IsFaulty(const Observed& observed, const Pod& pod) {
  const Node* node = FindNode(observed, pod.node);
  return node != nullptr && !node->fault.empty();
}

void LeaveFaultyNodes(const Observed& observed, const std::vector<const Pod*>& active,
                      Draft& draft) {
  const auto ready =
      std::count_if(active.begin(), active.end(), [](const Pod* p) { return p->ready; });
  auto spare = static_cast<std::int32_t>(ready) - observed.job.spec.workers.min_replicas;
  for (const Pod* pod : active) {
    if (!IsFaulty(observed, *pod)) continue;
    // One that is not ready helps nobody where it is.
    if (pod->ready && spare-- <= 0) continue;
    draft.plan.deletes.push_back({pod->name, pod->uid, false, reasons::kNodeFaulty,
                                  WhyLeave(observed, *pod) + "; the worker goes elsewhere"});
  }
}

}  // namespace

Next RuleDrain(const Observed& observed, Draft& draft) {
  // M8: with the last step committed somewhere, nobody is replaced.
  if (observed.nodes.empty() || observed.membership.finishing) return Next::kGoOn;
  std::vector<const Pod*> active;
  for (const Pod& pod : observed.pods) {
    if (IsActive(pod, draft)) active.push_back(&pod);
  }
  std::sort(active.begin(), active.end(),
            [](const Pod* a, const Pod* b) { return a->member < b->member; });
  for (const Pod* pod : active) {
    const std::string why = WhyLeave(observed, *pod);
    if (why.empty()) continue;
    // With more than the minimum the budget lets a pod go, and its replacement follows.
    if (WantedPods(observed.job) > observed.job.spec.workers.min_replicas) break;
    draft.surge = 1;
    draft.surge_reason = why + ", and with worker " + base::ToString(pod->member) +
                         " gone the job would be below minReplicas";
    break;
  }
  LeaveFaultyNodes(observed, active, draft);
  return Next::kGoOn;
}

}  // namespace muster::job
