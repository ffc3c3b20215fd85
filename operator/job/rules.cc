#include "operator/job/rules.h"

#include <algorithm>

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

bool IsActive(const Pod& pod, const Draft& draft) {
  if (pod.deleting || pod.phase == PodPhase::kSucceeded || pod.phase == PodPhase::kFailed) {
    return false;
  }
  return std::none_of(draft.lost.begin(), draft.lost.end(),
                      [&](const LostPod& lost) { return lost.pod == &pod; });
}

const KnownMember* FindMember(const Observed& observed, base::MemberId id) {
  for (const KnownMember& member : observed.membership.members) {
    if (member.id == id) return &member;
  }
  return nullptr;
}

base::MemberId NextIncarnation(const Observed& observed, std::int32_t ordinal) {
  std::int32_t highest = -1;
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
  for (const api::FailureEntry& failure : observed.job.status.failures) see(failure.member);
  return {ordinal, highest + 1};
}

std::int32_t FailureStreak(const std::vector<api::FailureEntry>& history, std::int32_t ordinal,
                           base::WallTime now) {
  std::vector<base::WallTime> times;
  for (const api::FailureEntry& failure : history) {
    if (failure.member.ordinal == ordinal && failure.charged) times.push_back(failure.time);
  }
  std::sort(times.rbegin(), times.rend());
  std::int32_t streak = 0;
  base::WallTime later = now;
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
