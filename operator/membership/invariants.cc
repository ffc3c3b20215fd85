// What must hold after every step, as sentences about what does not.
#include <algorithm>
#include <set>

#include "operator/membership/state.h"

namespace muster::membership {
namespace {

using Complaints = std::vector<std::string>;

void CheckPartition(const api::View& view, std::int32_t slots, Complaints& bad) {
  const std::string which = "epoch " + std::to_string(view.epoch.value);
  for (const bool resume : {false, true}) {
    std::vector<int> count(slots, 0);
    for (const api::ViewMember& m : view.members) {
      for (const api::Slot slot : resume ? m.resume_slots : m.slots) {
        if (slot < 0 || slot >= slots) {
          bad.push_back(which + " has slot " + std::to_string(slot) + " of " +
                        std::to_string(slots));
          continue;
        }
        ++count[slot];
      }
    }
    for (std::int32_t slot = 0; slot < slots; ++slot) {
      if (count[slot] == 1) continue;
      bad.push_back(which + " assigns slot " + std::to_string(slot) + " " +
                    std::to_string(count[slot]) + " times" + (resume ? " in its resume step" : ""));
    }
  }
  std::set<base::MemberId> seen;
  for (const api::ViewMember& m : view.members) {
    if (!seen.insert(m.id).second)
      bad.push_back(which + " names " + base::ToString(m.id) + " twice");
    for (const api::Slot slot : m.kept_slots) {
      const auto& all = m.resume_slots;
      if (std::find(all.begin(), all.end(), slot) == all.end()) {
        bad.push_back(which + " takes kept slot " + std::to_string(slot) + " from " +
                      base::ToString(m.id));
      }
    }
    if (!m.kept_slots.empty() && !m.has_state) {
      bad.push_back(which + " believes sums of " + base::ToString(m.id) + ", which has no state");
    }
  }
}

// M1: nothing is said that the record does not have.
void CheckPersistedBeforeSaid(const Core& core, const api::View& view, Complaints& bad) {
  if (!core.record || view.epoch > core.record->newest.epoch) {
    bad.push_back("epoch " + std::to_string(view.epoch.value) +
                  " was said before it was persisted");
    return;
  }
  for (const api::ViewMember& m : view.members) {
    const Member* known = core.Find(m.id);
    const bool in_use = known != nullptr && !known->dead && !known->released;
    if (in_use && !core.InRecord(m.id)) {
      bad.push_back(base::ToString(m.id) + " is in use and in neither recorded view");
    }
  }
}

void CheckSources(const api::View& view, Complaints& bad) {
  const std::string which = "epoch " + std::to_string(view.epoch.value);
  if (view.members.empty()) bad.push_back(which + " has no members");
  const bool someone = std::any_of(view.members.begin(), view.members.end(),
                                   [](const auto& m) { return m.has_state; });
  const bool from_nothing = view.fresh || view.restore.has_value();
  if (someone == from_nothing) bad.push_back(which + " has no source of state, or two kinds");
  if (view.fresh && view.restore) bad.push_back(which + " is both fresh and restored");
}

void CheckRecord(const Core& core, Complaints& bad) {
  if (!core.record) return;
  const api::Record& record = *core.record;
  const auto& ids = record.newest.members;
  if (std::set<base::MemberId>(ids.begin(), ids.end()).size() != ids.size()) {
    bad.push_back("the newest recorded view names a member twice");
  }
  if (record.term > core.term) bad.push_back("the record has a higher term than this coordinator");
  for (std::size_t i = 0; i < record.kept_checkpoints.size(); ++i) {
    const base::Step above = i == 0 ? record.checkpoint->step : record.kept_checkpoints[i - 1].step;
    if (record.kept_checkpoints[i].step >= above)
      bad.push_back("kept checkpoints are out of order");
  }
  if (record.result && record.checkpoint && core.HasCheckpoints() &&
      record.checkpoint->step != core.LastStep()) {
    bad.push_back("the job has a result and its checkpoint is not of the last step");
  }
}

void CheckStreams(const Core& core, Complaints& bad) {
  for (const auto& [stream, id] : core.streams) {
    const Member* m = core.Find(id);
    if (m == nullptr || m->stream != stream) {
      bad.push_back("stream " + std::to_string(stream) + " is bound to " + base::ToString(id) +
                    ", which has another");
    }
  }
}

void CheckPhase(const Core& core, Complaints& bad) {
  const bool running = core.phase == Phase::kSettled || core.phase == Phase::kAnnounced;
  if (running && !core.force) bad.push_back("phase " + ToString(core.phase) + " without a view");
  if (core.announced && core.phase != Phase::kAnnounced && core.phase != Phase::kOver) {
    bad.push_back("a change is announced in phase " + ToString(core.phase));
  }
  // A Knowing, Settled or later phase needs the term in the record (M1).
  const bool before = core.phase == Phase::kNew || core.phase == Phase::kTaking ||
                      core.phase == Phase::kDeposed || core.phase == Phase::kOver;
  if (!before && (!core.record || core.record->term != core.term)) {
    bad.push_back("the term was used before it was persisted");
  }
  if (core.phase == Phase::kSettled) {
    for (const base::MemberId id : core.ForceMembers()) {
      const Member* m = core.Find(id);
      if (m == nullptr || m->dead || m->released) {
        bad.push_back("settled with " + base::ToString(id) + ", which is gone");
      } else if (m->installed != core.force->epoch && m->stream) {
        bad.push_back("settled before " + base::ToString(id) + " installed the view");
      }
    }
  }
  if (core.phase == Phase::kForming && !core.formed) bad.push_back("forming without a view");
}

}  // namespace

std::vector<std::string> InvariantsOf(const Core& core) {
  Complaints bad;
  if (core.phase == Phase::kDeposed) return bad;
  const std::int32_t slots = core.config.spec.training.slots;
  if (core.force && core.force->epoch.value > 0) {
    CheckPartition(*core.force, slots, bad);
    if (core.phase != Phase::kCollecting && core.phase != Phase::kWaiting &&
        core.phase != Phase::kForming && core.phase != Phase::kOver) {
      CheckPersistedBeforeSaid(core, *core.force, bad);
    }
    if (!core.force->voluntary) CheckSources(*core.force, bad);
  }
  if (core.announced) {
    CheckPartition(*core.announced, slots, bad);
    CheckPersistedBeforeSaid(core, *core.announced, bad);
  }
  if (core.formed && core.record && !core.formed->stale &&
      core.formed->view.epoch != core.record->newest.epoch.Next()) {
    bad.push_back("the next view's epoch does not follow the record's");
  }
  if (core.unanswered_writes > 1 || core.unanswered_writes < 0) {
    bad.push_back(std::to_string(core.unanswered_writes) + " writes of the record are in flight");
  }
  CheckRecord(core, bad);
  CheckStreams(core, bad);
  CheckPhase(core, bad);
  return bad;
}

}  // namespace muster::membership
