// Committed and Evaluated: what a step brought at one member. Reports may come again (idempotent).
#include "operator/api/quantity.h"
#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnMessage(Member& m, const api::Committed& committed) {
  if (committed.epoch < rolled_back_epoch || !InRecord(m.id)) return;
  m.reported = std::max(m.reported, committed.step);
  if (committed.step >= m.committed) {
    m.committed = committed.step;
    m.digest = committed.digest;
    m.has_state = true;
  }
  if (committed.step > acked) {
    reports[committed.step][m.id] = committed;
  } else if (committed.step <= Acknowledged()) {
    Say(m, api::CommitAck{Acknowledged()});  // it missed the first one
  }
}

void Core::OnMessage(Member&, const api::Evaluated& report) {
  if (report.step <= evaluated || report.epoch < rolled_back_epoch) return;
  evaluated = report.step;
  // The members go through the motions with every program; only this one has held-out data.
  if (config.spec.program.builtin != api::Builtin::kGpt) return;
  held_out_loss = api::FormatNumber(report.held_out_loss);
  if (!held_out_loss.empty()) out.push_back(HeldOut{report.step, report.held_out_loss});
}

}  // namespace muster::membership
