#include "operator/job/rules.h"

#include <algorithm>

#include "operator/job/by_pods.h"
#include "operator/job/reasons.h"

namespace muster::job {

void Draft::LookAgain(base::WallTime at) {
  if (!plan.look_again || at < *plan.look_again) plan.look_again = at;
}

bool IsTerminal(api::JobState state) {
  return state == api::JobState::kSucceeded || state == api::JobState::kFailed;
}

std::int32_t WantedPods(const api::TrainingJob& job) {
  return job.spec.workers.replicas + job.spec.workers.spares;
}

std::int32_t DesiredMembers(const api::TrainingJob& job) {
  return job.spec.workers.replicas * job.spec.workers.processes_per_worker;
}

std::int32_t Processes(const Observed& observed) {
  return observed.job.spec.workers.processes_per_worker;
}

base::MemberId PodOf(const Observed& observed, const api::FailureEntry& failure) {
  return base::PodOf(failure.member, Processes(observed));
}

const api::FailureEntry* FindLoss(const Observed& observed,
                                  const std::vector<api::FailureEntry>& history, const Pod& pod) {
  const base::MemberId id = LossId(pod.member, Processes(observed));
  const auto at = std::find_if(history.begin(), history.end(),
                               [&](const api::FailureEntry& entry) { return entry.member == id; });
  return at == history.end() ? nullptr : &*at;
}

bool HasEnded(const Pod& pod) {
  return pod.phase == PodPhase::kSucceeded || pod.phase == PodPhase::kFailed;
}

bool IsActive(const Pod& pod, const Draft& draft) {
  if (HasEnded(pod) || IsGoing(pod)) return false;
  return std::none_of(draft.lost.begin(), draft.lost.end(),
                      [&](const LostPod& lost) { return lost.pod == &pod; });
}

const KnownMember* FindMember(const Observed& observed, base::MemberId id) {
  for (const KnownMember& member : observed.membership.members) {
    if (member.id == id) return &member;
  }
  return nullptr;
}

const Node* FindNode(const Observed& observed, std::string_view name) {
  auto it = observed.nodes.find(std::string(name));
  return it == observed.nodes.end() ? nullptr : &it->second;
}

base::MemberId NextIncarnation(const Observed& observed, std::int32_t ordinal) {
  std::int32_t highest = observed.first_incarnation - 1;
  const auto see = [&](base::MemberId id) {
    if (id.ordinal == ordinal) highest = std::max(highest, id.incarnation);
  };
  if (auto it = observed.highest_incarnation.find(ordinal);
      it != observed.highest_incarnation.end()) {
    highest = it->second;
  }
  for (const Pod& pod : observed.pods) see(pod.member);
  for (const KnownMember& member : observed.membership.members) see(member.id);
  for (const auto& [id, why] : observed.membership.evicted) see(id);
  for (const api::FailureEntry& failure : observed.job.status.failures) {
    see(PodOf(observed, failure));
  }
  return {ordinal, highest + 1};
}

bool IsSuperseded(const Observed& observed, const Pod& pod) {
  const base::MemberId id = pod.member;
  auto it = observed.highest_incarnation.find(id.ordinal);
  if (it != observed.highest_incarnation.end() && it->second > id.incarnation) return true;
  return std::any_of(observed.pods.begin(), observed.pods.end(), [&](const Pod& other) {
    return other.member.ordinal == id.ordinal && other.member.incarnation > id.incarnation;
  });
}

bool IsSilent(std::string_view reason) {
  // Evictions, in membership's words, that a dead node explains.
  return reason == "HeartbeatTimeout" || reason == "StreamLost" || reason == "CannotReach" ||
         reason == "WorkerKilled" || reason == reasons::kNeverJoined;
}

std::int32_t FailureStreak(const Observed& observed, const Draft& draft, std::int32_t ordinal,
                           bool charged_only) {
  std::vector<base::WallTime> times;
  for (const api::FailureEntry& failure : draft.history) {
    if (PodOf(observed, failure).ordinal != ordinal) continue;
    if (charged_only && !failure.charged) continue;
    times.push_back(failure.time);
  }
  std::sort(times.rbegin(), times.rend());
  std::int32_t streak = 0;
  base::WallTime later = draft.now;
  for (base::WallTime time : times) {
    if (later - time >= kStreakGap) break;
    ++streak;
    later = time;
  }
  return streak;
}

base::Duration BackOff(std::int32_t streak) {
  if (streak <= 1) return base::Duration(0);
  const std::int32_t doublings = std::min(streak - 2, 6);
  return std::min<base::Duration>(std::chrono::seconds(1 << doublings), std::chrono::seconds(60));
}

}  // namespace muster::job
