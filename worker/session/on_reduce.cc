// The reduction's answer: believed only when it is of this view, this sum and not aborted (M4, E5,
// E8, E9).
#include "worker/session/state.h"

namespace muster::session {

void Session::State::OnReduced(const Reduced& event) {
  if (collective != Collective::kReduce || event.epoch != collective_epoch) return;
  collective = Collective::kNone;
  const bool believed = !collective_void;
  collective_void = false;
  // After Ready nothing commits (M4): the sums are kept and the step is reduced again in the next
  // view.
  if (!believed || !InView() || event.epoch != view->epoch || event.tag != sums.tag) return;
  if (effort.step != event.tag.step) effort = Effort{.step = event.tag.step};
  effort.reduce_seconds += event.seconds;
  const std::string where = "step " + std::to_string(event.tag.step.value) + " attempt " +
                            std::to_string(event.tag.attempt) + " in epoch " +
                            std::to_string(event.epoch.value);
  if (!event.counters_ok) {
    Fail(api::ExitCode::kInternal, "Invariant",
         "the reduction of " + where + " did not hold every slot exactly once (E9)");
  } else if (!event.checksum_ok) {
    // E8: a kept sum or the wire is wrong and nobody knows whose. The coordinator has all slots
    // computed again, or ends the job when that does not help; until then nothing is reduced.
    RingLost({});
    suspect_report =
        api::Suspect{event.epoch, config.member, api::Evidence::kChecksum,
                     "the linear checksum of " + where + " does not agree with its sum"};
    Tell(*suspect_report);
  } else if (event.saturated) {
    OnSaturated(event);
  } else {
    confirmed = event;
  }
}

// E5: once more with this step's own maxima, which cannot saturate.
void Session::State::OnSaturated(const Reduced& event) {
  if (event.tag.attempt > 0) {
    Fail(api::ExitCode::kInternal, "Invariant",
         "step " + std::to_string(event.tag.step.value) +
             " saturated again in its second attempt (E5)");
    return;
  }
  Clear({event.tag.step, event.tag.attempt + 1, event.next_exponents});
  Compute(assigned);
}

void Session::State::OnReduceAborted(const ReduceAborted& event) {
  if (collective == Collective::kNone || event.epoch != collective_epoch) return;
  collective = Collective::kNone;
  const bool expected = collective_void;
  collective_void = false;
  // Nobody told us to abort: the ring broke under it. The sums are kept; a view will follow.
  if (expected || !InView() || ring != Ring::kReady) return;
  RingLost({});
  if (event.broken.empty()) return;
  // Nobody has died, so nobody else will interrupt the view: this member says that it is broken.
  suspect_report = api::Suspect{event.epoch, config.member, api::Evidence::kTimeout, event.broken};
  Tell(*suspect_report);
}

}  // namespace muster::session
