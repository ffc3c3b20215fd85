// A new coordinator finds out what goes on (M11): adopt the newest view, or interrupt and form the
// next.
#include <algorithm>

#include "operator/membership/assign.h"
#include "operator/membership/state.h"

namespace muster::membership {

bool Core::CanAdopt() const {
  for (const base::MemberId id : record->newest.members) {
    const Member* m = Find(id);
    if (m == nullptr || !m->hello || m->dead || !m->stream) return false;
    if (m->installed != record->newest.epoch || m->interrupted) return false;
    const bool trains =
        m->phase >= api::MemberPhase::kForward && m->phase <= api::MemberPhase::kEvaluating;
    if (!trains && m->phase != api::MemberPhase::kWaiting) return false;
    // At the end everybody's last words (evaluation, final parts) may have gone to the coordinator
    // before; a view that compares and writes asks for them again.
    if (!m->has_state || m->committed >= LastStep()) return false;
  }
  return true;
}

void Core::Adopt() {
  api::View view;
  view.term = term;
  view.epoch = record->newest.epoch;
  const auto slots = AssignRegular(static_cast<std::int32_t>(record->newest.members.size()),
                                   config.spec.training.slots);
  for (std::size_t rank = 0; rank < record->newest.members.size(); ++rank) {
    const Member& m = *Find(record->newest.members[rank]);
    view.members.push_back({m.id, m.address, m.node, true, slots[rank], slots[rank], {}});
  }
  views[view.epoch] = record->newest.members;
  layouts[view.epoch] = view;
  rescaling.reset();
  force = std::move(view);
  for (const base::MemberId id : record->previous.members) {
    if (InForce(id)) continue;
    Member& m = members[id];
    m.id = id;
    m.leaving = true;
    m.switched_away = m.hello;
    m.released =
        !m.hello;  // whoever is not here any more was let go, or is told so when it returns
  }
  if (static_cast<std::int32_t>(force->members.size()) == target.desired) reached = target.desired;
  phase = Phase::kSettled;
  NoteThat("adopted epoch " + std::to_string(force->epoch.value) + " with " +
           std::to_string(force->members.size()) + " members, uninterrupted");
}

void Core::AdvanceKnowing() {
  if (phase != Phase::kKnowing) return;
  if (CanAdopt()) return Adopt();
  std::vector<base::MemberId> absent;
  for (const base::MemberId id : Recorded()) {
    const Member* m = Find(id);
    if (m == nullptr || (!m->hello && !m->dead)) absent.push_back(id);
  }
  if (!absent.empty() && now - listening_since < ReturnLimit()) return;
  std::string cause = "StreamLost";
  for (const base::MemberId id : absent) {
    Member& m = members[id];
    m.id = id;
    cause = "HeartbeatTimeout";
    Evict(m, cause, "it did not return to the new coordinator", listening_since);
  }
  if (Participants().empty()) {
    // Nobody is left of those views: what follows interrupts nothing, it is a first view again.
    round_epoch = record->newest.epoch;
    resumes = evicted_now.empty();
    phase = Phase::kWaiting;
    return;
  }
  for (const base::MemberId id : evicted_now) cause = Find(id)->dead_reason;
  BeginRound(cause, now);
}

}  // namespace muster::membership
