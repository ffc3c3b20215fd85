// InstallView: an involuntary one is taken up at once (M4, M6), a voluntary one is held until every
// member's control word counted it (M5), except by a joiner, who connects and fetches state at
// once.
#include <algorithm>

#include "worker/session/state.h"

namespace muster::session {

namespace {

bool SomebodyLacksState(const api::View& view) {
  return std::any_of(view.members.begin(), view.members.end(),
                     [](const api::ViewMember& m) { return !m.has_state; });
}

bool IsLeaver(const api::View& view, base::MemberId id) {
  return std::any_of(view.leavers.begin(), view.leavers.end(),
                     [id](const api::Leaver& l) { return l.id == id; });
}

bool Contains(const std::vector<api::Slot>& slots, api::Slot slot) {
  return std::find(slots.begin(), slots.end(), slot) != slots.end();
}

}  // namespace

void Session::State::OnView(const api::View& v) {
  if (!loaded) return;
  // An Interrupt cancelled every view up to the epoch it named.
  if (v.epoch <= interrupted_epoch) return;
  if (view && v.epoch < view->epoch) return;
  if (view && v.epoch == view->epoch) {
    // The answer was lost, or its receiver: say it again.
    if (installed_report)
      Tell(*installed_report);
    else if (InView() && !installing)
      Tell(api::Installed{view->epoch, committed.Next(), digest, 0, 0});
    return;
  }
  const bool member = RankOf(v, config.member) >= 0;
  const bool training = view && !interrupted && !leaving;
  if (v.voluntary && training) {
    pending = v;
    return;
  }
  if (v.voluntary && interrupted && installed_epoch != base::Epoch()) return;
  if (member) {
    Abandon();
    TakeUp(v);
  } else if (IsLeaver(v, config.member)) {
    Abandon();
    Leave(v);
  }
}

// M5: after the step whose control words counted everybody. The state is at rest in every stayer
// and leaver, and it is that of the step before the new view's first.
void Session::State::Switch() {
  api::View v = *agreed;
  v.resume_step = committed.Next();
  v.state_digest = digest;
  for (api::ViewMember& m : v.members) m.resume_slots = m.slots;
  agreed.reset();
  pending.reset();
  CloseRing();
  if (RankOf(v, config.member) < 0) {
    Leave(v);
    return;
  }
  const bool stop = stopped;
  TakeUp(v);
  stopped = stop;
  // What this member computed for the next step stays when its new slots contain it; PlanResume
  // decides.
}

void Session::State::Leave(const api::View& v) {
  // Rank 0 of those who stay writes the lines that are left. Where nobody stays, none of the others
  // has seen these steps.
  const bool somebody_stays = std::any_of(v.members.begin(), v.members.end(),
                                          [](const api::ViewMember& m) { return m.has_state; });
  if (rank == 0 && !somebody_stays) Guarded(WriteStepLine{committed});
  view = v;
  rank = -1;
  interrupted = false;
  installing = false;
  leaving = true;
  ready_report.reset();
  installed_report.reset();
  if (has_state && SomebodyLacksState(v) && v.resume_step == committed.Next()) {
    serving = true;
    out.push_back(ServeState{v.epoch, committed, digest});
  }
}

void Session::State::TakeUp(const api::View& v) {
  // Slots of the resumed step that were this member's before are no recomputation when done again.
  const std::vector<api::Slot> before = assigned;
  shrunk = view && v.members.size() < view->members.size();
  view = v;
  rank = RankOf(v, config.member);
  interrupted = false;
  leaving = false;
  installing = true;
  planned = false;
  stopped = false;
  state_asked = false;
  state_there = false;
  evaluation_due = false;
  rebuild_seconds = synchronise_seconds = 0;
  synchronise_since.reset();
  const api::ViewMember& me = v.members[static_cast<std::size_t>(rank)];
  kept_void = false;
  if (ready_report && !v.voluntary) {
    for (api::Slot slot : ready_report->kept.slots) {
      kept_void = kept_void || !Contains(me.kept_slots, slot);
    }
  }
  ready_report.reset();
  installed_report.reset();
  suspect_report.reset();
  cannot_report.reset();
  ring_lost_since.reset();
  assigned = v.voluntary ? me.slots : me.resume_slots;
  handed_over.clear();
  if (!v.voluntary && !v.fresh && !v.restore) {
    for (api::Slot slot : assigned) {
      if (!Contains(before, slot)) handed_over.insert(slot);
    }
  }
  ring = Ring::kConnecting;
  out.push_back(ConnectRing{v, rank});
}

// The own state is what the view resumes from. A member that the view counts as without state may
// have received it after it answered Ready; then the digest decides.
bool Session::State::OwnStateFits() const {
  if (view->fresh || view->restore || !has_state) return false;
  const api::ViewMember& me = view->members[static_cast<std::size_t>(rank)];
  const bool resume_known = view->resume_step > base::Step();
  if (!resume_known || committed.Next() != view->resume_step) return false;
  return me.has_state || view->state_digest == digest;
}

void Session::State::StopServe() {
  serving = false;
  out.push_back(StopServing{});
}

// Everything that the threads still held of the view before has come back.
void Session::State::BeginState() {
  state_asked = true;
  const api::ViewMember& me = view->members[static_cast<std::size_t>(rank)];
  if (serving) StopServe();
  if (view->fresh) {
    source = Source::kFresh;
    out.push_back(MakeFreshState{});
  } else if (view->restore) {
    source = Source::kCheckpoint;
    synchronise_since = now;
    out.push_back(RestoreState{*view->restore});
  } else if (me.has_state && !OwnStateFits()) {
    CannotReach({}, "view resumes at step " + std::to_string(view->resume_step.value) + ", but " +
                        base::ToString(config.member) +
                        (has_state ? " has committed step " + std::to_string(committed.value)
                                   : std::string(" has no state")));
    return;
  } else if (OwnStateFits()) {
    source = Source::kOwn;
    if (SomebodyLacksState(*view)) {
      serving = true;
      out.push_back(ServeState{view->epoch, committed, digest, *view, rank});
    }
    state_there = true;
  } else {
    source = Source::kPeers;
    // The integer and gradient buffers receive it (M6): whatever sum was kept is void from here on.
    sums = Sums{};
    out.push_back(FetchState{*view, rank, has_state});
  }
  if (source == Source::kFresh || source == Source::kCheckpoint) sums = Sums{};
}

// The state is there: keep the sum if all of it belongs here, and compute what is missing (M6).
void Session::State::PlanResume() {
  const api::ViewMember& me = view->members[static_cast<std::size_t>(rank)];
  api::SumTag want{committed.Next(), 0, exponents};
  if (view->resume_tag.step == want.step && view->resume_tag.attempt > 0) want = view->resume_tag;
  bool usable = sums.tag == want && !kept_void;
  for (api::Slot slot : sums.held) usable = usable && Contains(assigned, slot);
  for (api::Slot slot : me.kept_slots) usable = usable && sums.held.contains(slot);
  if (!usable) Clear(want);
  std::vector<api::Slot> missing;
  for (api::Slot slot : assigned) {
    if (!sums.held.contains(slot)) missing.push_back(slot);
  }
  planned = true;
  if (committed.value >= steps() || view->goal == api::ViewGoal::kFinish) {
    stopped = true;
    return;
  }
  Compute(missing);
}

}  // namespace muster::session
