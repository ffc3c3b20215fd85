// Terminal states are final: nothing is created, and what still runs is told to go after a grace.
#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {

Next RuleEnded(const Observed& observed, Draft& draft) {
  if (!IsTerminal(observed.job.status.state)) return Next::kGoOn;
  draft.plan.ended = true;
  base::WallTime ended;
  for (const api::Condition& condition : observed.job.status.conditions) {
    const bool final = condition.type == reasons::kSucceeded || condition.type == reasons::kFailed;
    if (final && condition.status == "True") ended = condition.last_transition_time;
  }
  for (const Pod& pod : observed.pods) {
    const bool running = pod.phase == PodPhase::kPending || pod.phase == PodPhase::kRunning;
    if (!running || pod.deleting) continue;
    if (draft.now < ended + kEndGrace) {
      draft.LookAgain(ended + kEndGrace);
      continue;
    }
    draft.plan.deletes.push_back({pod.name, pod.uid, false, reasons::kJobEnded,
                                  "the job has ended and the worker did not exit by itself"});
  }
  return Next::kStop;
}

}  // namespace muster::job
