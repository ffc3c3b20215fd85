// Leave and Failing: a member announces its own end (M5, M15).
#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnMessage(Member& m, const api::Leave& leave) {
  if (m.released) return;
  m.leaving = true;
  const base::Time by = now + base::FromSeconds(leave.grace_seconds * 0.8);
  if (!m.leave_by || by < *m.leave_by) m.leave_by = by;
  if (!m.told || !InRecord(m.id)) Release(m);  // in the waiting room: nobody needs it
}

void Core::OnMessage(Member& m, const api::Failing& failing) {
  NoteThat(base::ToString(m.id) + " fails with exit code " + std::to_string(failing.exit_code) +
           ": " + failing.reason + ": " + failing.message);
  if (failing.reason == "Invariant") {
    Fail("Invariant", base::ToString(m.id) + ": " + failing.message);
    return;
  }
  Evict(m, failing.reason.empty() ? "WorkerKilled" : failing.reason, failing.message, now);
}

}  // namespace muster::membership
