// Making the next view after a failure, and the first one (M6, M8).
#include <algorithm>
#include <map>

#include "operator/membership/assign.h"
#include "operator/membership/state.h"

namespace muster::membership {
namespace {

// E8: among members at the same step; 0 is no digest. Empty when they agree, else who differs from
// the strict majority (nobody when there is none).
struct Vote {
  bool agree = true;
  std::vector<base::MemberId> differ;
};

Vote Count(const std::vector<const Member*>& at_step) {
  std::map<std::uint64_t, std::vector<base::MemberId>> by_digest;
  std::size_t votes = 0;
  for (const Member* m : at_step) {
    if (m->digest == 0) continue;
    by_digest[m->digest].push_back(m->id);
    ++votes;
  }
  Vote vote;
  vote.agree = by_digest.size() < 2;
  for (const auto& [digest, ids] : by_digest) {
    if (vote.agree || ids.size() * 2 <= votes) continue;
    for (const auto& [other, others] : by_digest) {
      if (other != digest) vote.differ.insert(vote.differ.end(), others.begin(), others.end());
    }
  }
  return vote;
}

}  // namespace

std::vector<base::MemberId> Core::Joiners(std::size_t at_most) const {
  const std::vector<base::MemberId> taking_part = Participants();
  std::vector<base::MemberId> joiners;
  for (const auto& [id, m] : members) {
    if (joiners.size() >= at_most) break;
    const bool alive = !m.dead && !m.leaving && !m.released && m.stream &&
                       now - m.signs.heard < config.spec.elasticity.heartbeat_timeout / 2;
    if (!alive || !m.warm) continue;
    if (std::find(taking_part.begin(), taking_part.end(), id) != taking_part.end()) continue;
    joiners.push_back(id);
  }
  return joiners;
}

std::vector<base::MemberId> Core::RankedMembers(const std::vector<base::MemberId>& stay,
                                                const std::vector<base::MemberId>& join) const {
  std::vector<Placed> survivors, joiners;
  const std::vector<base::MemberId> order = ForceMembers();
  for (const base::MemberId id : order) {
    if (std::find(stay.begin(), stay.end(), id) != stay.end()) {
      survivors.push_back({id, Find(id)->node});
    }
  }
  for (const base::MemberId id : stay) {
    if (std::find(order.begin(), order.end(), id) != order.end()) continue;
    // Without a view in force (after a restart) the record's order is the rank order.
    (force ? joiners : survivors).push_back({id, Find(id)->node});
  }
  for (const base::MemberId id : join) joiners.push_back({id, Find(id)->node});
  return RankOrder(survivors, joiners);
}

bool Core::EvaluationDue(base::Step step) const {
  if (step.value <= 0 || step <= evaluated) return false;
  const std::int64_t every = config.spec.training.evaluate_every_steps;
  return step == LastStep() || (every > 0 && step.value % every == 0);
}

void Core::TryForm() {
  if (phase != Phase::kWaiting || formed || in_flight || BacksOff()) return;
  const std::vector<base::MemberId> stay = Participants();
  base::Step highest;
  std::vector<const Member*> at_highest;
  for (const base::MemberId id : stay) {
    const Member* m = Find(id);
    if (!m->has_state || roll_back) continue;
    if (at_highest.empty() || m->committed > highest) at_highest.clear(), highest = m->committed;
    if (m->committed == highest) at_highest.push_back(m);
  }
  const Vote vote = Count(at_highest);
  if (!vote.agree) {
    const std::string what =
        "members disagree about the state of step " + std::to_string(highest.value);
    out.push_back(DigestMismatch{highest, what});
    RollBackAll(what);
    for (const base::MemberId id : vote.differ) Evict(*Find(id), "DigestMismatch", what, now);
    if (phase == Phase::kOver) return;
    AdvanceCollecting();
    return TryForm();
  }
  const bool any_state = !at_highest.empty();
  // Where everybody goes back to a checkpoint, one that is complete goes into the record first.
  if (!any_state && checkpoint_to_write) return;
  if (draining && !any_state) {
    return Drained(record->checkpoint ? record->checkpoint->step : base::Step());
  }
  if (any_state && (highest == LastStep() || draining || below_min_over)) {
    return Form(stay, {}, true);
  }
  const std::size_t desired = static_cast<std::size_t>(std::max(0, target.desired));
  const std::size_t min = std::min<std::size_t>(target.min, std::max<std::size_t>(1, desired));
  const std::vector<base::MemberId> join =
      Joiners(desired > stay.size() ? desired - stay.size() : 0);
  const std::size_t size = stay.size() + join.size();
  base::Time first_warm = now;
  for (const base::MemberId id : join) first_warm = std::min(first_warm, Find(id)->warm_since);
  const base::Duration window = any_state ? config.join_batch : config.first_view_window;
  const bool enough = stay.size() >= min || (size >= min && size >= desired) ||
                      (size >= min && now - first_warm >= window);
  if (enough && size > 0) return Form(stay, join, false);
  // The clock of belowMinTimeout starts after the first view, also where a run goes on.
  if (record->newest.epoch.value == 0 || resumes) return;
  if (!below_min_since) {
    below_min_since = now;
    NoteThat("below the minimum: " + std::to_string(size) + " of " + std::to_string(min) +
             " members; their state is kept");
  }
  const auto limit = config.spec.elasticity.below_min_timeout;
  if (limit && now - *below_min_since >= *limit) {
    below_min_over = true;
    if (any_state) return Form(stay, {}, true);
    Fail("BelowMin", "fewer than " + std::to_string(min) + " members for too long");
  }
}

void Core::Form(const std::vector<base::MemberId>& stay, const std::vector<base::MemberId>& join,
                bool finish) {
  FormedView made;
  api::View& view = made.view;
  view.term = term;
  view.epoch = record->newest.epoch.Next();
  view.goal = finish ? api::ViewGoal::kFinish : api::ViewGoal::kTrain;
  base::Step held;
  for (const base::MemberId id : stay) {
    const Member& m = *Find(id);
    if (!m.switched_away && m.has_state && !roll_back) held = std::max(held, m.committed);
  }
  std::vector<base::MemberId> in;
  for (const base::MemberId id : stay) {
    Member& m = *Find(id);
    // A leaver is asked back only when it alone holds the newest state.
    const bool needed = !m.switched_away || (m.has_state && !roll_back && m.committed > held);
    if (needed) {
      in.push_back(id);
      m.switched_away = false;
    } else {
      view.leavers.push_back({id, m.address});
      made.previous.push_back(id);
    }
  }
  made.previous_epoch = force ? force->epoch : record->newest.epoch;
  for (const base::MemberId id : RankedMembers(in, join)) {
    const Member& m = *Find(id);
    api::ViewMember v;
    v.id = id;
    v.address = m.address;
    v.node = m.node;
    view.members.push_back(std::move(v));
  }
  if (view.members.empty()) return;
  FillState(view, in, made);
  FillSlots(view);
  view.evaluate = EvaluationDue(base::Step(view.resume_step.value - 1));
  phase = Phase::kForming;
  AskView(std::move(made));
}

std::optional<api::CheckpointRef> Core::Restorable() const {
  const auto& newest = record->checkpoint;
  if (!damaged || !newest || newest->step < damaged->step) return newest;
  for (const api::CheckpointRef& older : record->kept_checkpoints) {
    if (older.step < damaged->step) return older;
  }
  return std::nullopt;
}

// Where the state comes from: who committed the highest step, else the checkpoint, else the seed.
void Core::FillState(api::View& view, const std::vector<base::MemberId>& stay, FormedView& made) {
  base::Step highest;
  bool any = false;
  for (const base::MemberId id : stay) {
    const Member& m = *Find(id);
    if (!m.has_state || roll_back) continue;
    highest = any ? std::max(highest, m.committed) : m.committed;
    any = true;
  }
  if (!any) {
    view.restore = Restorable();
    view.fresh = !view.restore;
    highest = view.restore ? view.restore->step : base::Step();
    if (highest == LastStep()) view.goal = api::ViewGoal::kFinish;
    if (record->newest.epoch.value > 0) {
      made.rolled_back = roll_back ? *roll_back
                         : damaged ? damaged->sentence
                                   : "no member with the state is left";
    }
  }
  view.resume_step = highest.Next();
  view.resume_tag = {view.resume_step, 0, 0};
  for (api::ViewMember& v : view.members) {
    const Member& m = *Find(v.id);
    const bool stays = std::find(stay.begin(), stay.end(), v.id) != stay.end();
    v.has_state = any && stays && m.has_state && m.committed == highest;
    if (v.has_state && m.digest != 0) view.state_digest = m.digest;
  }
}

// The tag of the sums that go on (M6). A redo's exponents are known only to who heard its
// reduction, and a joiner receives those of the first attempt: the redo goes on only when every
// member is at it, else the first attempt is repeated and finds the same maxima. False: nobody kept
// anything of use.
bool Core::ChooseTag(api::View& view) const {
  const api::SumTag& redo = Find(view.members.front().id)->kept.tag;
  const bool all_at_redo =
      redo.attempt > 0 && redo.step == view.resume_step &&
      std::all_of(view.members.begin(), view.members.end(), [&](const api::ViewMember& v) {
        return v.has_state && Find(v.id)->kept.tag == redo;
      });
  bool any = false;
  for (const api::ViewMember& v : view.members) {
    const api::KeptSums& kept = Find(v.id)->kept;
    if (!v.has_state || kept.tag.step != view.resume_step) continue;
    if (kept.tag.attempt != (all_at_redo ? redo.attempt : 0)) continue;
    view.resume_tag = kept.tag;
    any = any || !kept.slots.empty();
  }
  return any;
}

// M6: sums with the chosen tag count; every other slot is dealt anew.
void Core::FillSlots(api::View& view) {
  const bool any = !void_kept && ChooseTag(view);
  std::vector<std::vector<api::Slot>> kept(view.members.size());
  for (std::size_t rank = 0; any && rank < view.members.size(); ++rank) {
    const api::KeptSums& sums = Find(view.members[rank].id)->kept;
    if (!view.members[rank].has_state || sums.tag != view.resume_tag) continue;
    kept[rank] = sums.slots;
  }
  const std::int32_t slots = config.spec.training.slots;
  const auto regular = AssignRegular(static_cast<std::int32_t>(view.members.size()), slots);
  const ResumeSlots resume = AssignResume(kept, slots);
  for (std::size_t rank = 0; rank < view.members.size(); ++rank) {
    view.members[rank].slots = regular[rank];
    view.members[rank].resume_slots = resume.all[rank];
    view.members[rank].kept_slots = resume.kept[rank];
  }
}

}  // namespace muster::membership
