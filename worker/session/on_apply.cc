// The boundary of a step: report it, then checkpoint, evaluation, switch of view, stop, in this
// order.
#include "worker/session/state.h"

namespace muster::session {

namespace {

bool Every(std::int64_t step, std::int64_t period) { return period > 0 && step % period == 0; }

}  // namespace

void Session::State::OnApplied(const Applied& event) {
  if (!applying || !confirmed || event.step != confirmed->tag.step) return;
  const Reduced reduced = *confirmed;
  applying = false;
  confirmed.reset();
  committed = event.step;
  digest = event.digest;
  exponents = event.exponents;

  api::Committed report;
  report.epoch = reduced.epoch;
  report.step = event.step;
  report.attempt = reduced.tag.attempt;
  report.digest = event.digest;
  report.loss = event.loss;
  report.grad_norm = event.grad_norm;
  report.learning_rate = event.learning_rate;
  report.clipped = event.clipped;
  report.skipped = event.skipped;
  report.tokens = event.tokens;
  report.offence = event.offence;
  if (effort.step == event.step) {
    report.slots_computed = effort.slots_computed;
    report.compute_seconds = effort.compute_seconds;
    report.reduce_seconds = effort.reduce_seconds;
    report.recompute_seconds = effort.recompute_seconds;
  }
  // All slots' samples when the reduction carried them, else those of the own sum.
  report.samples = event.samples;
  if (report.samples.empty()) {
    for (auto& [slot, samples] : sums.samples) report.samples.push_back({slot, samples});
  }
  reports.push_back(std::move(report));
  TellReports();
  out.push_back(LearnStepTime{effort.compute_seconds + effort.reduce_seconds});

  effort = Effort{.step = event.step.Next()};
  handed_over.clear();
  planned = false;
  Clear({event.step.Next(), 0, exponents});
  // Interrupted meanwhile: Ready is the answer, and the boundary belongs to the next view.
  if (InView() && view->epoch == reduced.epoch) Boundary(reduced);
}

void Session::State::Boundary(const Reduced& reduced) {
  const std::int64_t step = committed.value;
  const bool last = step >= steps();
  const bool asked = reduced.checkpoint_held_by_all != 0;
  const bool stop = reduced.stop_held_by_all && asked;
  if (asked && request && request->id == reduced.checkpoint_held_by_all) request.reset();
  if (last || asked || Every(step, loaded->spec.checkpoint.every_steps)) Copy();
  evaluation_due = last || Every(step, loaded->spec.training.evaluate_every_steps);
  if (reduced.view_held_by_all) agreed = offered;
  offered.reset();
  offered_request.reset();
  stopped = last || stop;
  if (stopped) request.reset();
  if (agreed || stopped) return;
  assigned = view->members[static_cast<std::size_t>(rank)].slots;
  planned = true;
  Compute(assigned, view->epoch);
}

void Session::State::OnEvaluated(const Evaluated& event) {
  if (collective != Collective::kEvaluate || event.epoch != collective_epoch) return;
  collective = Collective::kNone;
  collective_void = false;
  // Even from an aborted view it is the held-out loss of that step, the same bits everywhere.
  evaluated_report = api::Evaluated{event.epoch, event.step, event.held_out_loss};
  Tell(*evaluated_report);
  if (InView() && view->epoch == event.epoch) evaluation_due = false;
}

}  // namespace muster::session
