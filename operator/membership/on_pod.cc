// PodLost, PodLeaving, NodeSuspect, FormerMembers: the cluster's word (M3). Only the first evicts.
#include <algorithm>
#include <utility>

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
  std::erase_if(kills,
                [&](const auto& kill) { return base::PodOf(kill.first, Processes()) == lost.pod; });
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

// Its Hello has the id that no process has.
bool Core::IsParent(base::MemberId id) const {
  const base::PodProcess of = base::ProcessOf(id, Processes());
  return Processes() > 1 && of.life == base::kPodLife;
}

// What was said on a stream before may be lost: it hears of all who were evicted. Those that it has
// killed, or made good, it leaves alone.
void Core::OnParent(StreamId stream, base::MemberId pod) {
  const auto [at, first] = parents.emplace(pod, stream);
  if (!first && at->second != stream) out.push_back(CloseStream{std::exchange(at->second, stream)});
  std::vector<base::MemberId> evicted;
  for (const auto& [id, m] : members) {
    if (m.dead && base::PodOf(id, Processes()) == pod) evicted.push_back(id);
  }
  if (!evicted.empty()) SayTo(stream, api::Interrupt{record->newest.epoch, std::move(evicted)});
}

// M4: the Interrupt names the evicted, and the parent kills them. Before the others hear of it. One whose
// stream is not there hears of it with its next.
void Core::TellParent(base::MemberId evicted) {
  if (Processes() == 1) return;
  const base::MemberId pod = base::PodOf(evicted, Processes());
  if (KillsBeforeAborts() && !lost_pods.contains(pod)) kills.emplace(evicted, now);
  const auto at = parents.find(pod);
  if (at == parents.end()) return;
  SayTo(at->second, api::Interrupt{record->newest.epoch, {evicted}});
}

void Core::OnKilled(StreamId stream, const api::Killed& killed) {
  const auto at = parents.find(base::PodOf(killed.member, Processes()));
  // Another pod's parent cannot know.
  if (at != parents.end() && at->second == stream) kills.erase(killed.member);
}

// On one host the abort of an NCCL communicator returns when every local peer has aborted or is dead. The
// ring's needs nobody. Whether `auto` is the one or the other is the members' to find out.
bool Core::KillsBeforeAborts() const {
  return config.spec.training.transport != api::Transport::kRing;
}

// Who has aborted already has nothing to wait for.
bool Core::AwaitsKill(const Member& m) const {
  return !m.ready && std::any_of(kills.begin(), kills.end(), [&](const auto& kill) {
    return base::PodOf(kill.first, Processes()) == base::PodOf(m.id, Processes());
  });
}

void Core::AdvanceKills() {
  if (Processes() == 1) return;
  const auto is_late = [&](const auto& kill) { return now - kill.second >= kKillAnswer; };
  const bool late = std::erase_if(kills, is_late) > 0;
  const bool collecting =
      phase == Phase::kCollecting || phase == Phase::kWaiting || phase == Phase::kForming;
  for (const base::MemberId id : Participants()) {
    Member& m = *Find(id);
    if (!m.owed_interrupt || AwaitsKill(m)) continue;
    m.owed_interrupt = false;
    if (!collecting || m.ready) continue;
    if (late) {
      NoteThat("no word that the evicted of the pod of " + base::ToString(id) +
               " are killed; it aborts all the same");
    }
    SendInterrupt(m);
    round_started = now;  // it could not answer before
  }
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
