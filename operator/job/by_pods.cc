#include "operator/job/by_pods.h"

#include <algorithm>
#include <utility>

namespace muster::job {
namespace {

std::vector<KnownMember> KnownPods(const std::vector<KnownMember>& members,
                                   std::int32_t processes) {
  std::vector<KnownMember> pods;
  for (const KnownMember& member : members) {
    const base::MemberId id = base::PodOf(member.id, processes);
    auto pod = std::find_if(pods.begin(), pods.end(),
                            [&](const KnownMember& known) { return known.id == id; });
    if (pod == pods.end()) pod = pods.insert(pods.end(), {id, false, false, true});
    pod->in_view = pod->in_view || member.in_view;
    pod->leaving = pod->leaving || (member.leaving && !member.released);
    pod->released = pod->released && member.released;
  }
  return pods;
}

// The newest eviction of each of a pod's processes.
struct EvictedPod {
  std::set<std::int32_t> processes;
  base::MemberId last;
  base::WallTime since;
};

std::map<base::MemberId, EvictedPod> EvictedPods(const MembershipView& view,
                                                 std::int32_t processes) {
  std::map<base::MemberId, EvictedPod> pods;
  for (const auto& [member, why] : view.evicted) {
    const base::PodProcess of = base::ProcessOf(member, processes);
    EvictedPod& pod = pods[of.pod];
    const auto at = view.evicted_at.find(member);
    const base::WallTime since = at == view.evicted_at.end() ? base::WallTime() : at->second;
    if (pod.processes.empty() || since >= pod.since) {
      pod.last = member;
      pod.since = since;
    }
    pod.processes.insert(of.process);
  }
  return pods;
}

}  // namespace

MembershipView ByPods(MembershipView view, std::int32_t processes) {
  if (processes == 1) return view;
  const std::vector<KnownMember> known = KnownPods(view.members, processes);
  const std::map<base::MemberId, EvictedPod> evicted = EvictedPods(view, processes);
  const std::map<base::MemberId, Verdict> reasons = std::exchange(view.evicted, {});
  const std::map<base::MemberId, base::WallTime> times = std::exchange(view.evicted_at, {});
  view.members = known;
  for (const auto& [id, pod] : evicted) {
    const bool lives = std::any_of(known.begin(), known.end(),
                                   [&](const KnownMember& member) { return member.id == id; });
    if (lives || std::ssize(pod.processes) < processes) continue;
    view.evicted[id] = reasons.at(pod.last);
    view.evicted_at[id] = pod.since;
  }
  for (const auto& [member, why] : reasons) {
    if (view.evicted.contains(base::PodOf(member, processes))) continue;
    const auto at = times.find(member);
    view.lost_processes[member] = {why, at == times.end() ? base::WallTime() : at->second};
  }
  std::map<base::MemberId, LastWords> words;
  for (auto& [member, said] : view.last_words) words[base::PodOf(member, processes)] = said;
  view.last_words = std::move(words);
  return view;
}

base::MemberId LossId(base::MemberId pod, std::int32_t processes) {
  return base::PodItself(pod, processes);
}

}  // namespace muster::job
