// PodLost, PodLeaving, NodeSuspect, FormerMembers: the cluster's word (M3). Only the first evicts.
#include <algorithm>

#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnPodLost(const PodLost& lost) {
  bool news = false;
  for (const base::MemberId id : MembersOf(lost.pod)) {
    Member& m = members[id];  // one that never said Hello is known to be dead, too
    m.id = id;
    if (m.released || m.dead) continue;
    m.signs.pod_lost = now;
    news = true;
  }
  if (Processes() > 1) lost_pods.insert(lost.pod);
  if (!news || phase == Phase::kOver) return;  // at the end everybody goes
  NoteThat("the cluster reports " + base::ToString(lost.pod) + " gone: " + lost.reason);
}

// Those that are known. Of a pod of one process that is all there can be.
std::vector<base::MemberId> Core::MembersOf(base::MemberId pod) const {
  if (Processes() == 1) return {pod};
  std::set<base::MemberId> ids;
  for (const base::MemberId id : Recorded()) ids.insert(id);
  for (const auto& [id, m] : members) ids.insert(id);
  std::erase_if(ids, [&](base::MemberId id) { return base::PodOf(id, Processes()) != pod; });
  return {ids.begin(), ids.end()};
}

// A process that nobody had heard of when its pod was lost, and that speaks all the same: the pod was
// given up, and its place is taken.
void Core::FindLate(base::MemberId id) {
  if (Find(id) != nullptr || !lost_pods.contains(base::PodOf(id, Processes()))) return;
  Member& m = members[id];
  m.id = id;
  m.dead = true;
  m.dead_reason = "its pod is gone";
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
