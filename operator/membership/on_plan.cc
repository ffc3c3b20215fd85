// SetTarget, SetTimeout, CheckpointNow, Drain, FailJob, Dissolve, AuditWritten: words from the plan and its
// shell.
#include <algorithm>

#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnSetTarget(const SetTarget& wanted) {
  if (wanted.desired == target.desired && wanted.min == target.min) return;
  target = wanted;
  target.desired = std::max(0, target.desired);
  target.min = std::max(1, target.min);
  NoteThat("target: " + std::to_string(target.desired) + " members, at least " +
           std::to_string(target.min));
}

void Core::OnSetTimeout(const SetTimeout& wanted) {
  base::Duration& timeout = config.spec.elasticity.heartbeat_timeout;
  const base::Duration next =
      std::max(wanted.heartbeat_timeout, kBeatsToTimeout * config.heartbeat);
  if (next == timeout) return;
  timeout = next;
  config.welcome.heartbeat_timeout_seconds = base::ToSeconds(timeout);
  NoteThat("heartbeat timeout: " + std::to_string(base::ToSeconds(timeout)) + " s");
}

void Core::OnCheckpointNow() {
  if (HasCheckpoints() && !request && !checkpoint_due) checkpoint_due = now;
}

void Core::OnDrain() {
  if (draining || phase == Phase::kOver) return;
  draining = true;
  request.reset();  // one that does not stop is superseded
  NoteThat("drain: the step is finished, its state committed, then everybody leaves");
}

void Core::OnFailJob(const FailJob& fail) { Fail(fail.reason, fail.message); }

void Core::OnDissolve() {
  if (phase == Phase::kOver) return;
  End(api::Finish{false, "Dissolved", "the job is gone"});
}

void Core::OnAuditWritten(const AuditWritten& written) {
  awaiting_audit.erase(written.step);
  if (awaiting_audit.empty()) SendAcks();
}

}  // namespace muster::membership
