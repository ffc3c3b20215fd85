// A suspended job finishes its step, commits the state and stops; nobody is replaced meanwhile.
#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {

Next RuleSuspend(const Observed& observed, Draft& draft) {
  if (!observed.job.spec.suspend) return Next::kGoOn;
  // A run on one machine has a place for its checkpoints whatever the job says, and ends with the
  // drain.
  if (!observed.on_cluster) {
    draft.plan.drain = true;
    return Next::kStop;
  }
  const bool had_view = observed.membership.had_view;
  if (had_view && observed.job.spec.checkpoint.path.empty()) {
    draft.not_suspended =
        Verdict{reasons::kNoCheckpointPath,
                "spec.checkpoint.path is empty, so all steps would be lost: the job trains on; it "
                "can only be deleted, or end"};
    return Next::kGoOn;
  }
  // Before the first view there is nothing to commit, and a drain could not be taken back.
  draft.plan.drain = had_view;
  for (const Pod& pod : observed.pods) {
    const bool needed = had_view && FindMember(observed, pod.member) != nullptr;
    if (needed || !IsActive(pod, draft)) continue;
    draft.plan.deletes.push_back({pod.name, pod.uid, false, reasons::kJobSuspended,
                                  "the job is suspended and the worker does not train"});
  }
  return Next::kStop;
}

}  // namespace muster::job
