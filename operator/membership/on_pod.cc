// PodLost, PodLeaving, NodeSuspect, FormerMembers: the cluster's word (M3). Only the first evicts.
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
    if (m.node == suspect.node) m.signs.node_suspect = suspect.suspect;
  }
}

void Core::OnFormerMembers(const FormerMembers& former) {
  std::size_t gone = 0;
  for (const base::MemberId id : former.members) {
    Member& m = members[id];
    m.id = id;
    if (m.hello || m.dead) continue;  // it lives, whatever the cluster shows
    m.dead = true;
    m.dead_reason = "it ended with the run before";
    ++gone;
  }
  if (gone > 0) {
    NoteThat("goes on from an earlier run, whose " + std::to_string(gone) +
             " members ended with it");
  }
}

}  // namespace muster::membership
