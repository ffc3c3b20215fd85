// Interrupt: give up the ring, keep the sums, answer Ready at once (M4). The one thing waited for
// is the update of a reduction that was already confirmed.
#include <algorithm>

#include "worker/session/state.h"

namespace muster::session {

void Session::State::OnInterrupt(const api::Interrupt& message) {
  if (std::find(message.evicted.begin(), message.evicted.end(), config.member) !=
      message.evicted.end()) {
    End(api::ExitCode::kFenced,
        "evicted by the coordinator at epoch " + std::to_string(message.epoch.value));
    return;
  }
  if (!loaded) return;
  if (view && message.epoch < view->epoch) return;
  interrupted_epoch = std::max(interrupted_epoch, message.epoch);
  Abandon();
  installed_report.reset();
  interrupted = true;
  installing = false;
  owes_ready = message.epoch;
}

// What ends with the view in force: its ring, its reduction, a change not yet switched to, a
// checkpoint not yet taken. A confirmed reduction stays: its update is finished.
void Session::State::Abandon() {
  CloseRing();
  if (computing && !stopping) {
    stopping = true;
    out.push_back(StopCompute{});
  }
  pending.reset();
  agreed.reset();
  offered.reset();
  offered_request.reset();
  request.reset();
  evaluation_due = false;
  owes_ready.reset();
  suspect_report.reset();
  cannot_report.reset();
}

void Session::State::AnswerReady() {
  ready_report = api::Ready{*owes_ready, committed, has_state ? digest : 0, has_state, Kept()};
  owes_ready.reset();
  Tell(*ready_report);
}

}  // namespace muster::session
