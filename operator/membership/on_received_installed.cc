// Installed and CannotReach: what became of a view at one member (M7).
#include <algorithm>

#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnMessage(Member& m, const api::Installed& installed) {
  const api::View* view = NewestView();
  if (view == nullptr || installed.epoch != view->epoch || phase != Phase::kAnnounced) return;
  m.installed = installed.epoch;
  m.pending = base::Epoch();
  m.interrupted = false;
  m.has_state = true;
  m.digest = installed.digest;
  const base::Step held(installed.resume_step.value - 1);
  // The state came whole: the steps in it are accounted for without a report of their own.
  if (held > m.committed || view->restore || view->fresh) m.covered = held;
  m.committed = std::max(m.committed, held);
  if (view->restore || view->fresh) m.committed = held;
  unreachable.erase(m.id);
  restore_failed.erase(m.id);
  if (announced && announced->epoch == installed.epoch && announced->resume_step.value == 0) {
    announced->resume_step = installed.resume_step;
    installing_since = now;
  }
  NoteInstalled(m, installed);
}

void Core::OnMessage(Member& m, const api::CannotReach& report) {
  const api::View* view = NewestView();
  if (view == nullptr || report.epoch != view->epoch || phase != Phase::kAnnounced) return;
  unreachable[m.id] = report.peers;
  cannot_install = report.detail;
  // Who names itself reached everybody but not the checkpoint.
  const bool own = std::find(report.peers.begin(), report.peers.end(), m.id) != report.peers.end();
  if (own && view->restore) restore_failed[m.id] = report.detail;
  NoteThat(base::ToString(m.id) + " cannot install epoch " + std::to_string(report.epoch.value) +
           ": " + report.detail);
}

}  // namespace muster::membership
