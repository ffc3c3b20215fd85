// What others see of the machine, and when it next has something to do.
#include <algorithm>

#include "operator/membership/state.h"

namespace muster::membership {
namespace {

MemberSnapshot Describe(const Core& core, const Member& m) {
  MemberSnapshot s;
  s.id = m.id;
  s.node = m.node;
  s.address = m.address;
  s.pid = m.pid;
  s.in_view = core.InForce(m.id) && !m.dead;
  s.warm = m.warm;
  s.connected = m.stream.has_value();
  s.leaving = m.leaving;
  s.released = m.released;
  s.phase = m.phase;
  s.step = m.step;
  s.committed = m.committed;
  return s;
}

// docs/metrics.md. Recomputing cannot be told from forward passes here; the rescale's own field
// has it.
std::string TimeState(const Core& core, bool had_view) {
  switch (core.phase) {
    case Phase::kNew:
    case Phase::kTaking:
      return had_view ? "unknown" : "starting";
    case Phase::kKnowing:
      return "unknown";
    case Phase::kWaiting:
      if (had_view && core.BacksOff()) return "agreeing";
      return had_view ? "waiting_for_members" : "starting";
    case Phase::kCollecting:
    case Phase::kForming:
      return had_view ? "agreeing" : "starting";
    case Phase::kOver:
    case Phase::kDeposed:
      return "unknown";
    case Phase::kAnnounced:
    case Phase::kSettled:
      break;
  }
  const bool forced = core.phase == Phase::kAnnounced && !core.announced;
  bool lost = false, evaluating = true, waiting = true, connected = true;
  for (const base::MemberId id : core.ForceMembers()) {
    const Member& m = *core.Find(id);
    lost = lost || m.signs.stream_lost || m.signs.neighbour_reset;
    evaluating = evaluating && m.phase == api::MemberPhase::kEvaluating;
    waiting = waiting && m.phase == api::MemberPhase::kWaiting;
    connected = connected && m.installed == core.force->epoch;
  }
  if (forced) {
    if (core.force->fresh) return "starting";
    const auto& all = core.force->members;
    const bool transfer =
        std::any_of(all.begin(), all.end(), [](const auto& v) { return !v.has_state; });
    return transfer ? "synchronising" : "rebuilding";
  }
  if (lost) return "detecting";
  if (evaluating) return "evaluating";
  if (waiting && !core.checkpoints.empty()) return "checkpointing";
  return "productive";
}

}  // namespace

std::string ToString(Phase phase) {
  switch (phase) {
    case Phase::kNew:
      return "New";
    case Phase::kTaking:
      return "Taking";
    case Phase::kKnowing:
      return "Knowing";
    case Phase::kWaiting:
      return "Waiting";
    case Phase::kCollecting:
      return "Collecting";
    case Phase::kForming:
      return "Forming";
    case Phase::kAnnounced:
      return "Announced";
    case Phase::kSettled:
      return "Settled";
    case Phase::kOver:
      return "Over";
    case Phase::kDeposed:
      return "Deposed";
  }
  return "unknown";
}

Snapshot SnapshotOf(const Core& core) {
  Snapshot s;
  if (core.record) s.record = *core.record;
  s.phase = ToString(core.phase);
  const std::vector<base::MemberId> view = core.ForceMembers();
  bool first = true;
  for (const base::MemberId id : view) {
    const Member& m = *core.Find(id);
    s.members.push_back(Describe(core, m));
    if (m.dead) continue;
    s.committed = first ? m.committed : std::min(s.committed, m.committed);
    first = false;
  }
  s.size = static_cast<std::int32_t>(view.size());
  for (const bool leavers : {true, false}) {
    for (const auto& [id, m] : core.members) {
      if (core.InForce(id) || m.dead || m.switched_away != leavers) continue;
      s.members.push_back(Describe(core, m));
    }
  }
  for (const auto& [id, m] : core.members) {
    const bool there = !m.dead && !m.released && m.has_state;
    s.finishing = s.finishing || (there && m.committed >= core.LastStep());
  }
  const bool had_view = core.record && core.record->newest.epoch.value > 0;
  s.below_min = core.below_min_since.has_value();
  s.below_min_since = core.below_min_since;
  s.succeeded = core.result.has_value() && core.record && core.record->result;
  s.failed = core.phase == Phase::kOver && core.finish && !core.finish->succeeded;
  s.baseline_loss = core.baseline_loss;
  s.time_state = TimeState(core, had_view);
  return s;
}

std::optional<base::Time> NextDeadlineOf(const Core& core) {
  const bool over =
      core.phase == Phase::kNew || core.phase == Phase::kDeposed || core.phase == Phase::kOver;
  if (over || !core.last_event) return std::nullopt;
  const base::Time last = *core.last_event;
  // Never later than a quarter of a beat: the machine must not take its own idleness for sleep
  // (M3).
  base::Time next = last + core.config.heartbeat / 4;
  const bool busy = core.phase != Phase::kSettled || core.retry_at || core.announced;
  if (busy) next = std::min(next, last + std::chrono::milliseconds(10));
  const Limits limits = core.SilenceLimits();
  for (const base::MemberId id : core.ForceMembers()) {
    const Member* m = core.Find(id);
    if (m == nullptr || m->dead || m->released) continue;
    next = std::min(next, std::max(last, NextJudgement(m->signs, limits)));
  }
  return next;
}

}  // namespace muster::membership
