// SIGTERM: leave cooperatively within the grace (M5, M15). Tick: what happens because nothing
// happened.
#include "worker/session/state.h"

namespace muster::session {
namespace {

// No hurry: a job at its minimum of members trains on with it until 80 % of this, and then waits for
// its successor.
constexpr base::Duration kStartAgainGrace = std::chrono::hours(1);

}  // namespace

void Session::State::OnTermSignal(const TermSignal& event) {
  Tell(api::Leave{event.grace_seconds});
  if (!view) {
    End(api::ExitCode::kSucceeded, "asked to end before it was in a view");
    return;
  }
  if (leave_before) return;  // the first signal's clock runs
  start_again.reset();       // whoever wants it gone does not want it back
  grace_ends = now + base::FromSeconds(event.grace_seconds);
  leave_before = now + base::FromSeconds(0.8 * event.grace_seconds);
}

// All members rebuild alike, so all of them may say so in the same view. One at a time goes: whose rank
// is the epoch's turn, and in no view that is smaller than the one before, so that the place of the
// last one is taken first. Alone it holds the state.
void Session::State::OnStartAgain(const StartAgain& event) {
  if (!InView() || event.epoch != view->epoch || grace_ends || shrunk || size() < 2) return;
  const auto turn = view->epoch.value % static_cast<std::uint64_t>(size());
  if (view->goal != api::ViewGoal::kTrain || turn != static_cast<std::uint64_t>(rank)) return;
  start_again = event.reason;
  grace_ends = now + kStartAgainGrace;
  out.push_back(Note{"leaves and starts again: " + event.reason});
  Tell(api::Leave{base::ToSeconds(kStartAgainGrace)});
}

void Session::State::OnTick() {
  if (leave_before && now >= *leave_before) {
    End(api::ExitCode::kSucceeded, "80 % of the grace period is over and nobody released it (M15)");
    return;
  }
  // M10: a broken ring that nobody interrupts (the breaker was told, we were not) is reported
  // again.
  const base::Duration patience =
      base::FromSeconds(welcome ? welcome->heartbeat_timeout_seconds : 1);
  if (InView() && ring_lost_since && now - *ring_lost_since >= patience) {
    ring_lost_since = now;
    CannotReach(ring_lost_peers, "the ring is broken and no Interrupt has come");
  }
}

}  // namespace muster::session
