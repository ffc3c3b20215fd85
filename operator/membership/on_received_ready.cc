// Ready: a member has aborted, keeps its sums, and says where it stands (M4).
#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnMessage(Member& m, const api::Ready& ready) {
  const bool collecting =
      phase == Phase::kCollecting || phase == Phase::kWaiting || phase == Phase::kForming;
  // One of an earlier round was answered by a view; what it says is history.
  if (!collecting || ready.epoch < round_epoch || !InRecord(m.id)) return;
  m.told = true;
  m.ready = true;
  m.owed_interrupt = false;
  m.interrupted = true;
  m.phase = api::MemberPhase::kReady;
  m.committed = ready.committed;
  m.digest = ready.digest;
  m.has_state = ready.has_state;
  m.kept = ready.kept;
  // Having answered, it lives: whatever a neighbour saw was the abort.
  m.signs.neighbour_reset.reset();
}

}  // namespace muster::membership
