// Voluntary changes (M5): grow, shrink, drain of a member; and letting leavers go (M15).
#include <algorithm>

#include "operator/membership/assign.h"
#include "operator/membership/state.h"

namespace muster::membership {

bool Core::WantsChange(std::vector<base::MemberId>& leave,
                       std::vector<base::MemberId>& join) const {
  std::vector<base::MemberId> stay;
  for (const base::MemberId id : ForceMembers()) {
    (Find(id)->leaving ? leave : stay).push_back(id);
  }
  const std::size_t desired = static_cast<std::size_t>(std::max(0, target.desired));
  // Scaled down: the highest ordinals go, as the plan removes them. It removes pods, so a pod's other
  // members go along: the number is that of whole pods, and who stays beyond it would hold one up.
  std::vector<base::MemberId> by_id = stay;
  std::sort(by_id.begin(), by_id.end());
  const auto pod_of = [this](base::MemberId id) { return base::PodOf(id, Processes()); };
  while (by_id.size() > std::max<std::size_t>(1, desired)) {
    const base::MemberId pod = pod_of(by_id.back());
    for (; by_id.size() > 1 && pod_of(by_id.back()) == pod; by_id.pop_back()) {
      leave.push_back(by_id.back());
      std::erase(stay, by_id.back());
    }
  }
  join = Joiners(desired > stay.size() ? desired - stay.size() : 0);
  // M9: joins that come together are taken in together.
  if (leave.empty() && !join.empty() && !MayTakeIn(join, stay.size() + join.size() >= desired)) {
    join.clear();
  }
  const std::size_t min = std::min<std::size_t>(target.min, std::max<std::size_t>(1, desired));
  // A leaver that is needed waits for its replacement, at most until 80 % of its grace (M15).
  if (stay.size() + join.size() < min) {
    leave.clear();
    if (stay.size() + join.size() < ForceMembers().size()) join.clear();
  }
  return !leave.empty() || !join.empty();
}

void Core::AdvanceVoluntary() {
  if (phase != Phase::kSettled || formed || draining || !force) return;
  if (force->goal != api::ViewGoal::kTrain || HighestCommitted() >= LastStep()) return;
  // What the change before took is said with its first step; a new log would throw it away.
  if (rescaling) return;
  std::vector<base::MemberId> leave, join;
  if (WantsChange(leave, join)) Announce(leave, join);
}

void Core::Announce(const std::vector<base::MemberId>& leave,
                    const std::vector<base::MemberId>& join) {
  FormedView made;
  api::View& view = made.view;
  view.term = term;
  view.epoch = record->newest.epoch.Next();
  view.voluntary = true;
  std::vector<base::MemberId> stay = ForceMembers();
  const std::vector<base::MemberId> before = stay;
  for (const base::MemberId id : leave) {
    std::erase(stay, id);
    view.leavers.push_back({id, Find(id)->address});
  }
  const std::vector<base::MemberId> order = RankedMembers(stay, join);
  const auto slots =
      AssignRegular(static_cast<std::int32_t>(order.size()), config.spec.training.slots);
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const Member& m = *Find(order[rank]);
    const bool stays = std::find(stay.begin(), stay.end(), m.id) != stay.end();
    view.members.push_back({m.id, m.address, m.node, stays, slots[rank], slots[rank], {}});
  }
  made.previous_epoch = force->epoch;
  made.previous = before;
  for (const base::MemberId id : Participants()) {
    if (Find(id)->switched_away) made.previous.push_back(id);
  }
  RescaleLog log;
  const bool asked =
      std::any_of(leave.begin(), leave.end(), [&](base::MemberId id) { return Find(id)->leaving; });
  log.rescale.cause = asked                                      ? "Drained"
                      : !leave.empty()                           ? "ScaledDown"
                      : reached != 0 && target.desired > reached ? "ScaledUp"
                                                                 : "Joined";
  log.rescale.from = static_cast<std::int32_t>(before.size());
  log.begun = log.raised = now;
  log.epoch = view.epoch;
  log.voluntary = true;
  rescaling = log;
  AskView(std::move(made));
}

void Core::Release(Member& m) {
  m.released = true;
  m.warm = false;
  Say(m, api::Release{});
  NoteThat("released " + base::ToString(m.id));
}

// Its grace is nearly over and it is still needed: what it held is dealt anew, as after a failure.
void Core::LeaveNow(Member& m) {
  const base::Time since = now;
  Release(m);
  if (phase != Phase::kKnowing) BeginRound("Drained", since);
}

void Core::AdvanceReleases() {
  for (const base::MemberId id : Participants()) {
    Member& m = *Find(id);
    if (!m.leaving) continue;
    const bool late = m.leave_by && now >= *m.leave_by;
    if (!m.switched_away) {
      if (late) LeaveNow(m);
      continue;
    }
    // The step of the switch is said with the leaver's own report, so it is there by then.
    bool done = phase == Phase::kSettled && acked >= m.last_step;
    for (const base::MemberId other : ForceMembers()) {
      done = done && Find(other)->committed >= m.committed;
    }
    for (const auto& [step, pending] : checkpoints) {
      const auto& all = pending.members;
      const bool owes = std::find(all.begin(), all.end(), id) != all.end() &&
                        (!pending.parts.contains(id) || pending.writer == id);
      done = done && !owes;
    }
    if (done || late) Release(m);
  }
}

}  // namespace muster::membership
