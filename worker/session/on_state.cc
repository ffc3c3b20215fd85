// Where the state of a view comes from when it is not there already: the seed, a checkpoint, the
// others.
#include <algorithm>

#include "worker/session/state.h"

namespace muster::session {

void Session::State::OnStateMade(const StateMade& event) {
  has_state = true;
  committed = base::Step(0);
  digest = event.digest;
  exponents = event.exponents;
  reports.clear();
  reports_told = 0;
  if (source == Source::kFresh) StateThere();
}

void Session::State::OnStateRestored(const StateRestored& event) {
  has_state = true;
  committed = event.step;
  digest = event.digest;
  exponents = event.exponents;
  // A roll-back: what was committed after it never counts.
  while (!reports.empty() && reports.back().step > event.step) reports.pop_back();
  reports_told = std::min(reports_told, reports.size());
  if (source == Source::kCheckpoint) StateThere();
}

void Session::State::OnRestoreFailed(const RestoreFailed& event) {
  if (!InView() || !installing || source != Source::kCheckpoint) return;
  // It names itself: no peer is to blame, the checkpoint is what it cannot reach.
  std::vector<base::MemberId> itself;
  if (event.damaged) itself.push_back(config.member);
  CannotReach(std::move(itself), event.message);
}

void Session::State::OnStateReceived(const StateReceived& event) {
  // It is in the buffers whatever happened meanwhile; to deny it would be to lie in the next Ready.
  has_state = true;
  committed = event.step;
  digest = event.digest;
  exponents = event.exponents;
  sums = Sums{};
  if (InView() && installing && source == Source::kPeers && event.epoch == view->epoch) {
    synchronise_seconds = event.seconds;
    StateThere();
  } else if (ready_report && interrupted) {
    owes_ready = ready_report->epoch;  // what was said is outdated
  }
}

void Session::State::OnStateFailed(const StateFailed& event) {
  if (!InView() || !installing || event.epoch != view->epoch) return;
  CannotReach(event.from, event.detail);
}

void Session::State::StateThere() {
  if (!InView() || !installing || !state_asked || state_there) return;
  if (synchronise_since) synchronise_seconds = base::ToSeconds(now - *synchronise_since);
  const bool resume_known = view->resume_step > base::Step();
  if (resume_known && committed.Next() != view->resume_step) {
    CannotReach({}, "view resumes at step " + std::to_string(view->resume_step.value) +
                        ", but the state that came is that of step " +
                        std::to_string(committed.value));
    return;
  }
  state_there = true;
}

}  // namespace muster::session
