// A view on its way: persisted, sent, installed by all or not (M1, M7).
#include <algorithm>
#include <map>
#include <tuple>

#include "operator/membership/state.h"

namespace muster::membership {

void Core::AskView(FormedView made) { formed = std::move(made); }

namespace {

// Slots of the resume step that were in a sum and are computed again: what the lost had at most,
// and the sums of survivors that the view does not take up (a checksum failed, another attempt).
std::int64_t SlotsAgain(const Core& core, const api::View& next) {
  if (!core.force) return 0;
  std::size_t again = 0;
  for (const api::ViewMember& v : core.force->members) {
    const Member* m = core.Find(v.id);
    if (m == nullptr || m->committed.value + 1 != next.resume_step.value) continue;
    const bool first = core.force->resume_step == next.resume_step;
    const std::size_t assigned = first ? v.resume_slots.size() : v.slots.size();
    if (m->released || (m->dead && core.evicted_now.contains(v.id))) again += assigned;
    const auto now = std::find_if(next.members.begin(), next.members.end(),
                                  [&](const auto& n) { return n.id == v.id; });
    if (now == next.members.end() || !now->has_state) continue;
    if (m->kept.tag.step != next.resume_step) continue;
    // A redo has emptied the sum of the attempt before, of which every slot was computed.
    if (m->kept.tag.attempt > next.resume_tag.attempt) again += assigned;
    again += m->kept.slots.size() - std::min(m->kept.slots.size(), now->kept_slots.size());
  }
  return static_cast<std::int64_t>(again);
}

// RolledBack is said once the record has the view (M1): what came after that step is void.
void GoBack(Core& core, const api::View& view, const std::string& why) {
  const base::Step to(view.resume_step.value - 1);
  const base::Step from = std::max(core.acked, core.HighestCommitted());
  if (core.rescaling)
    core.rescaling->rescale.steps_lost = std::max<std::int64_t>(0, from.value - to.value);
  core.out.push_back(RolledBack{to, why});
  if (core.roll_back) core.digests.clear();  // the wrong ones may be among them
  core.roll_back.reset();
  core.acked = to;
  core.evaluated = std::min(core.evaluated, to);
  core.rolled_back_epoch = view.epoch;
  core.reports.clear();
  core.checkpoints.clear();  // of steps that are done again
  core.awaiting_audit.clear();
  core.last_report.reset();
  for (auto& [id, m] : core.members) {
    m.has_state = false;
    m.committed = m.covered = m.last_step = base::Step();
  }
}

void StartFailureView(Core& core, const FormedView& made) {
  const api::View& view = made.view;
  if (!core.rescaling) {
    core.rescaling = RescaleLog{};
    core.rescaling->rescale.cause = core.force ? "Joined" : "FirstView";
    core.rescaling->begun = core.rescaling->raised = core.now;
  }
  RescaleLog& log = *core.rescaling;
  log.epoch = view.epoch;
  log.rescale.slots_recomputed += SlotsAgain(core, view);
  log.rescale.detect_seconds = base::ToSeconds(log.raised - log.begun);
  log.rescale.agree_seconds = base::ToSeconds(core.now - log.raised);
  if (made.rolled_back) GoBack(core, view, *made.rolled_back);
  core.NoteJoins(core.ForceMembers(), view);
  // Steps that nobody alive has committed are done again: what the dead said of them is void.
  std::erase_if(core.reports, [&](const auto& r) { return r.first >= view.resume_step; });
  core.force = view;
  core.announced.reset();
  core.void_kept = false;
  core.evicted_now.clear();
  core.below_min_since.reset();
  core.resumes = false;
}

}  // namespace

void Core::OnViewPersisted() {
  FormedView made = std::move(*formed);
  formed.reset();
  const api::View& view = made.view;
  const bool lost = std::any_of(view.members.begin(), view.members.end(), [&](const auto& v) {
    return Find(v.id)->dead || Find(v.id)->released;
  });
  if (made.stale || lost) {
    NoteThat("epoch " + std::to_string(view.epoch.value) + " is overtaken by a fault, never sent");
    if (phase == Phase::kForming) phase = Phase::kWaiting;
    if (view.voluntary && rescaling && rescaling->epoch == view.epoch) rescaling.reset();
  } else {
    views[view.epoch].clear();
    for (const api::ViewMember& v : view.members) views[view.epoch].push_back(v.id);
    layouts[view.epoch] = view;
    while (views.size() > 8) views.erase(views.begin());
    while (layouts.size() > 8) layouts.erase(layouts.begin());
    if (view.voluntary) {
      announced = view;
    } else {
      StartFailureView(*this, made);
    }
    phase = Phase::kAnnounced;
    installing_since = now;
    unreachable.clear();
    restore_failed.clear();
    std::vector<base::MemberId> to = views[view.epoch];
    if (view.voluntary) {
      for (const api::Leaver& leaver : view.leavers) to.push_back(leaver.id);
    }
    for (const base::MemberId id : to) {
      Member& m = *Find(id);
      m.told = true;
      m.warm = false;
      m.ready = false;
      m.progress_at = now;
      Say(m, api::InstallView{view});
    }
    // The switch decides the step of a voluntary one (M5).
    NoteThat("epoch " + std::to_string(view.epoch.value) +
             (view.voluntary ? " announced: " : ": ") + std::to_string(view.members.size()) +
             " members" +
             (view.voluntary ? std::string()
                             : ", resume at step " + std::to_string(view.resume_step.value)));
  }
  for (auto& [id, m] : members) FenceIfOut(m);
}

void Core::AdvanceAnnounced() {
  if (phase != Phase::kAnnounced) return;
  api::View& view = announced ? *announced : *force;
  bool all = true, answered = true, begun = !view.voluntary;
  std::vector<base::MemberId> late;
  for (const api::ViewMember& v : view.members) {
    const Member& m = *Find(v.id);
    const bool installed = m.installed == view.epoch && !unreachable.contains(v.id);
    all = all && installed;
    answered = answered && (installed || unreachable.contains(v.id));
    begun = begun || installed;
    if (installed || unreachable.contains(v.id)) continue;
    if (now - std::max(installing_since, m.progress_at) >= config.install_deadline) {
      late.push_back(v.id);
    }
  }
  if (all) return SettleView(view);
  begun = begun || !unreachable.empty();
  if (answered && !unreachable.empty()) return EvictUnreachable(view);
  if (!begun || late.empty()) return;
  if (!unreachable.empty()) return EvictUnreachable(view);
  const base::Time since = installing_since;
  InstallFailed(view);
  for (const base::MemberId id : late) {
    Evict(*Find(id), "CannotReach", "it did not install the view in time", since);
  }
}

// The first attempt after a failed one follows at once: most often a death was the cause, and it is
// known by then.
base::Duration InstallBackOff(std::int32_t failed) {
  constexpr base::Duration kFirst = std::chrono::milliseconds(100);
  constexpr base::Duration kMost = std::chrono::seconds(2);
  if (failed <= 1) return base::Duration(0);
  return std::min(kMost, kFirst * (1 << std::min(failed - 2, 10)));
}

void Core::InstallFailed(const api::View& view) {
  const base::Duration pause = InstallBackOff(++failed_installs);
  form_after = now + pause;
  if (pause == base::Duration(0)) return;
  NoteThat("epoch " + std::to_string(view.epoch.value) + " could not be installed, the " +
           std::to_string(failed_installs) + " in a row; the next follows after " +
           std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(pause).count()) +
           " ms");
}

// M7: greedily by number of reports until the rest is explained. A report speaks against both ends:
// who reaches nobody is cut off itself. A tie evicts who lacks the state, then who is reported,
// then the newest.
void Core::EvictUnreachable(const api::View& view) {
  std::map<base::MemberId, std::vector<base::MemberId>> open = unreachable;
  std::vector<base::MemberId> blamed;
  while (true) {
    std::map<base::MemberId, int> counts;
    for (const auto& [reporter, peers] : open) {
      for (const base::MemberId peer : peers) {
        const Member* m = Find(peer);
        if (m == nullptr || m->dead || peer == reporter) continue;
        ++counts[peer];
        ++counts[reporter];
      }
    }
    if (counts.empty()) break;
    const auto rank = [&](const std::pair<const base::MemberId, int>& c) {
      return std::tuple(c.second, !Find(c.first)->has_state, !open.contains(c.first),
                        c.first.incarnation, c.first.ordinal);
    };
    const auto worst = std::max_element(counts.begin(), counts.end(),
                                        [&](auto& a, auto& b) { return rank(a) < rank(b); });
    const base::MemberId out_id = worst->first;
    blamed.push_back(out_id);
    open.erase(out_id);  // what the blamed one reports explains itself
    for (auto& [reporter, peers] : open) std::erase(peers, out_id);
  }
  unreachable.clear();
  const bool damage = blamed.empty() && FindDamage(view);
  // Nobody named, or explained by those already dead: try again, a bounded number of times.
  if (blamed.empty() && !damage && ++unexplained_installs >= 5) {
    Fail("CannotReach",
         "epoch " + std::to_string(view.epoch.value) +
             " could not be installed, the fifth time without anybody to blame: " + cannot_install);
    return;
  }
  const base::Time since = installing_since;
  if (!damage) InstallFailed(view);  // with another checkpoint it is another thing that is tried
  for (const base::MemberId id : blamed) {
    Evict(*Find(id), "CannotReach", "others of the view cannot reach it", since);
  }
  if (blamed.empty()) BeginRound("CannotReach", since);
}

// Members say that the checkpoint cannot be loaded, and nobody could. Where one could, the next
// view hands its state on, and the file was not to blame.
bool Core::FindDamage(const api::View& view) {
  if (!view.restore || restore_failed.empty()) return false;
  for (const api::ViewMember& v : view.members) {
    if (Find(v.id)->installed == view.epoch) return false;
  }
  damaged = DamagedCheckpoint{view.restore->step,
                              "the checkpoint of step " + std::to_string(view.restore->step.value) +
                                  " cannot be used: " + restore_failed.begin()->second};
  const auto older = Restorable();
  NoteThat(damaged->sentence + "; " +
           (older ? "the one before it is used, of step " + std::to_string(older->step.value)
                  : std::string("there is none before it, training begins afresh")));
  return true;
}

void Core::SettleView(api::View& view) {
  for (const api::ViewMember& v : view.members) {
    Member& m = *Find(v.id);
    if (!v.has_state && view.resume_step.value > 0) {
      m.covered = std::max(m.covered, base::Step(view.resume_step.value - 1));
    }
  }
  if (announced) {
    const api::View next = *announced;
    const std::vector<base::MemberId> before = ForceMembers();
    NoteJoins(before, next);
    force = next;
    announced.reset();
    for (const base::MemberId id : before) {
      if (InForce(id)) continue;
      Find(id)->switched_away = true;
      Find(id)->leaving = true;
      Find(id)->last_step = base::Step(force->resume_step.value - 1);
    }
  }
  if (request && !draining) checkpoint_due = now;
  if (static_cast<std::int32_t>(force->members.size()) == target.desired) reached = target.desired;
  request.reset();  // its id belonged to the epoch before; asked again if it is still wanted
  // Its parts come by themselves; one that was abandoned meanwhile is still asked for again.
  const bool abandoned = checkpoint_due && *checkpoint_due > now;
  if (force->goal == api::ViewGoal::kFinish && !abandoned) checkpoint_due.reset();
  failed_installs = unexplained_installs = 0;
  form_after.reset();
  phase = Phase::kSettled;
  if (force->goal == api::ViewGoal::kFinish) NoteResumed(force->resume_step);
}

// A joiner's own times begin while the others still train: of a voluntary change only what stayers
// waited for counts (M9).
void Core::NoteInstalled(const Member& m, const api::Installed& installed) {
  if (!rescaling) return;
  api::Rescale& r = rescaling->rescale;
  if (!rescaling->voluntary) {
    r.rebuild_seconds = std::max(r.rebuild_seconds, installed.rebuild_seconds);
    r.synchronise_seconds = std::max(r.synchronise_seconds, installed.synchronise_seconds);
    return;
  }
  rescaling->installed_at.emplace(m.id, now);
  if (InForce(m.id)) r.rebuild_seconds = std::max(r.rebuild_seconds, installed.rebuild_seconds);
}

namespace {

// How long stayers that were ready waited for joiners to have the state.
double WaitForJoiners(const RescaleLog& log, const api::View& view) {
  std::optional<base::Time> stayers, joiners;
  for (const api::ViewMember& v : view.members) {
    const auto at = log.installed_at.find(v.id);
    if (at == log.installed_at.end()) continue;
    std::optional<base::Time>& last = v.has_state ? stayers : joiners;
    last = std::max(last.value_or(at->second), at->second);
  }
  return stayers && joiners && *joiners > *stayers ? base::ToSeconds(*joiners - *stayers) : 0;
}

}  // namespace

void Core::NoteResumed(base::Step step) {
  if (!rescaling || rescaling->epoch != force->epoch || phase != Phase::kSettled) return;
  if (step < force->resume_step) return;
  api::Rescale& r = rescaling->rescale;
  r.epoch = force->epoch;
  r.time = Wall(now);
  r.to = static_cast<std::int32_t>(force->members.size());
  if (rescaling->voluntary) {
    r.synchronise_seconds = WaitForJoiners(*rescaling, *force);
    r.stall_seconds = r.rebuild_seconds + r.synchronise_seconds;
  } else {
    r.stall_seconds = base::ToSeconds(now - rescaling->begun);
  }
  out.push_back(RescaleDone{r});
  rescaling.reset();
}

}  // namespace muster::membership
