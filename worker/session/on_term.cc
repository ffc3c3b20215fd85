// SIGTERM: leave cooperatively within the grace (M5, M15). Tick: what happens because nothing
// happened.
#include "worker/session/state.h"

namespace muster::session {

void Session::State::OnTermSignal(const TermSignal& event) {
  Tell(api::Leave{event.grace_seconds});
  if (!view) {
    End(api::ExitCode::kSucceeded, "asked to end before it was in a view");
    return;
  }
  if (grace_ends) return;  // the first signal's clock runs
  grace_ends = now + base::FromSeconds(event.grace_seconds);
  leave_before = now + base::FromSeconds(0.8 * event.grace_seconds);
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
