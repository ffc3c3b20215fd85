// Where a new pod should rather not go. A preference: where nothing else is free, such a node is
// better than none.
#include <map>
#include <set>

#include "operator/job/rules.h"

namespace muster::job {
namespace {

// It neither closed a connection nor reset one: not the process was lost, but the machine or the
// way to it. The scheduler does not know that yet.
bool FellSilent(std::string_view reason) {
  return reason == "HeartbeatTimeout" || reason == "CannotReach";
}

}  // namespace

std::vector<std::string> NodesToAvoid(const Observed& observed, const Draft& draft) {
  if (!observed.on_cluster) return {};
  const api::AvoidNodesSpec& avoid = observed.job.spec.elasticity.avoid_nodes;
  std::set<std::string> nodes;
  std::map<std::string, std::int32_t> losses;
  for (const api::FailureEntry& failure : draft.history) {
    const base::Duration age = draft.now - failure.time;
    if (age <= avoid.window && ++losses[failure.node] >= avoid.failures) nodes.insert(failure.node);
    if (age <= kSilentNodeAvoided && FellSilent(failure.reason)) nodes.insert(failure.node);
  }
  for (const LostPod& lost : draft.lost) {
    if (FellSilent(lost.reason)) nodes.insert(lost.pod->node);
  }
  for (const auto& [name, node] : observed.nodes) {
    if (node.suspect() || !node.fault.empty()) nodes.insert(name);
  }
  nodes.erase("");
  return {nodes.begin(), nodes.end()};
}

}  // namespace muster::job
