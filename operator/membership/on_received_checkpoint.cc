// CheckpointPart and ManifestWritten: what the members have put on disk (M14).
#include <algorithm>

#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnMessage(Member& m, const api::CheckpointPart& part) {
  const auto view = views.find(part.epoch);
  const bool known =
      view != views.end() && part.epoch >= rolled_back_epoch &&
      std::find(view->second.begin(), view->second.end(), m.id) != view->second.end();
  const api::View* newest = NewestView();
  const bool finishing = newest != nullptr && newest->goal == api::ViewGoal::kFinish;
  const base::Step done = record->checkpoint ? record->checkpoint->step : base::Step();
  if (!known || part.step < done || (part.step == done && !request && !finishing)) return;
  // One that broke with an earlier epoch stays abandoned; the parts are asked for again.
  if (force && part.epoch < force->epoch && !force->voluntary) return;
  if (!part.error.empty()) {
    checkpoints[part.step].step = part.step;
    Abandon(part.step, base::ToString(m.id) + ": " + part.error, true);
    return;
  }
  PendingCheckpoint& pending = checkpoints[part.step];
  if (pending.epoch < part.epoch) {
    pending = PendingCheckpoint{};
    pending.step = part.step;
    pending.epoch = part.epoch;
    pending.members = view->second;
  }
  if (pending.epoch != part.epoch || pending.writer) return;
  pending.parts[m.id] = part;
}

void Core::OnMessage(Member& m, const api::ManifestWritten& written) {
  const auto it = checkpoints.find(written.step);
  if (it == checkpoints.end() || it->second.writer != m.id || it->second.manifest) return;
  if (!written.error.empty()) {
    Abandon(written.step, base::ToString(m.id) + ": " + written.error, true);
    return;
  }
  it->second.manifest = written;
}

}  // namespace muster::membership
