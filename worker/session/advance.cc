// Issues every command that has become possible; called after each event.
#include "worker/session/state.h"

namespace muster::session {

// The threads hold nothing that reads or writes the buffers which a new state or a cleared sum
// would overwrite: no slot being added, no update, no reduction still on its way to its abort.
bool Session::State::Quiet() const {
  return !computing && !confirmed && collective == Collective::kNone;
}

void Session::State::Advance() {
  if (exited) return;
  if (confirmed && !applying && copies == 0) Apply();
  if (owes_ready) {
    if (confirmed) return;  // M4: a confirmed reduction is finished first
    AnswerReady();
  }
  if (interrupted || !view || leaving) return;
  if (installing) AdvanceInstall();
  AdvanceStep();
}

void Session::State::AdvanceInstall() {
  if (!state_asked && Quiet() && (copies == 0 || OwnStateFits())) BeginState();
  if (state_there && !planned && !stopped && Quiet()) PlanResume();
  if (state_there && ring == Ring::kReady && (planned || stopped)) SendInstalled();
}

void Session::State::SendInstalled() {
  installing = false;
  installed_epoch = view->epoch;
  evaluation_due = view->evaluate;
  installed_report =
      api::Installed{view->epoch, committed.Next(), digest, rebuild_seconds, synchronise_seconds};
  Tell(*installed_report);
  // M8: the view compares and writes what is there.
  if (view->goal == api::ViewGoal::kFinish) {
    Copy();
    request.reset();
  }
}

// Only after the copy for a checkpoint: it reads what the update overwrites.
void Session::State::Apply() {
  if (serving) StopServe();
  applying = true;
  out.push_back(ApplyStep{confirmed->tag.step});
}

void Session::State::AdvanceStep() {
  if (confirmed || installing || !InView()) return;
  if (ring == Ring::kReady && collective == Collective::kNone && evaluation_due) {
    collective = Collective::kEvaluate;
    collective_epoch = view->epoch;
    out.push_back(EvaluateShare{view->epoch, committed, rank, size()});
  }
  if (evaluation_due) return;
  if (agreed) {
    Switch();
    if (installing) AdvanceInstall();
    return;
  }
  if (stopped && request) {
    // Nothing will be reduced any more: the state is at rest here and everywhere.
    request.reset();
    Copy();
  }
  if (ring != Ring::kReady || collective != Collective::kNone || stopped || !SumComplete()) return;
  collective = Collective::kReduce;
  collective_epoch = view->epoch;
  offered = pending;
  offered_request = request;
  Reduce reduce;
  reduce.epoch = view->epoch;
  reduce.tag = sums.tag;
  if (pending) reduce.pending_view = pending->epoch;
  if (request) {
    reduce.checkpoint_request = request->id;
    reduce.stop_request = request->stop;
  }
  out.push_back(reduce);
}

}  // namespace muster::session
