// PodLost, PodLeaving, NodeSuspect: the cluster's word (M3). Only the first evicts.
#include <algorithm>

#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnPodLost(const PodLost& lost) {
  Member& m = members[lost.member];  // one that never said Hello is known to be dead, too
  m.id = lost.member;
  if (m.released || m.dead) return;
  m.signs.pod_lost = now;
  if (phase == Phase::kOver) return;  // at the end everybody goes
  NoteThat("the cluster reports " + base::ToString(lost.member) + " gone: " + lost.reason);
}

void Core::OnPodLeaving(const PodLeaving& leaving) {
  Member* m = Find(leaving.member);
  if (m == nullptr || m->dead || m->released) return;
  NoteThat(base::ToString(m->id) + " is asked to leave: " + leaving.reason);
  OnMessage(*m, api::Leave{base::ToSeconds(leaving.grace)});
}

void Core::OnNodeSuspect(const NodeSuspect& suspect) {
  for (auto& [id, m] : members) {
    if (m.node == suspect.node) m.signs.node_suspect = true;
  }
}

}  // namespace muster::membership
