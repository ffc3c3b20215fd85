// Tick: time passed. Judging who is alive (M3) happens after every event; a tick only makes sure of
// it.
#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnTick() {}

void Core::JudgeMembers() {
  const Limits limits = SilenceLimits();
  std::vector<base::MemberId> recorded = Recorded();
  for (const base::MemberId id : recorded) {
    Member* m = Find(id);
    if (m == nullptr || m->dead || m->released) continue;
    if (!m->hello && !m->signs.pod_lost)
      continue;                                    // not heard in this reign: AdvanceKnowing judges
    if (!m->told && !m->signs.pod_lost) continue;  // only waits in the waiting room
    if (const auto verdict = Judge(m->signs, limits, now)) {
      const bool may_return = verdict->reason == "StreamLost" && HoldsStateAlone(*m) &&
                              now - verdict->since < limits.timeout;
      if (may_return) continue;
      Evict(*m, verdict->reason, verdict->message, verdict->since);
    }
  }
  for (auto& [id, m] : members) {
    if (m.dead || !m.signs.pod_lost || InRecord(id)) continue;
    m.dead = true;
    m.dead_reason = "its pod is gone";
    FenceIfOut(m);
  }
  // The stall rule: only where training goes on.
  const bool trains = phase == Phase::kSettled || (phase == Phase::kAnnounced && announced);
  if (!trains || !force || force->goal != api::ViewGoal::kTrain) return;
  std::vector<Pace> paces;
  for (const base::MemberId id : ForceMembers()) {
    const Member* m = Find(id);
    if (m != nullptr && !m->dead && m->installed == force->epoch) {
      paces.push_back({id, m->phase, m->step, m->progress_at});
    }
  }
  const base::Duration limit = StallLimit(step_times);
  if (const auto stalled = FindStalled(paces, limit, now)) {
    Evict(*Find(*stalled), "Stalled",
          "others wait for it in the reduction and it made no progress for " +
              std::to_string(base::ToSeconds(limit)) + " s",
          Find(*stalled)->progress_at);
  }
}

}  // namespace muster::membership
