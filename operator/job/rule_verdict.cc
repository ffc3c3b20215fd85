// Membership's word is final (M12): success is its digests, not some process that exits 0.
#include <algorithm>

#include "operator/api/conditions.h"
#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {

Next RuleVerdict(const Observed& observed, Draft& draft) {
  const MembershipView& membership = observed.membership;
  if (!membership.succeeded && !membership.failed && !membership.drained) return Next::kGoOn;
  draft.plan.ended = true;
  if (!observed.on_cluster || !membership.drained) return Next::kStop;
  // Suspended is no end: the workers go, and once they have, it may go on.
  const api::Condition* written =
      api::FindCondition(observed.job.status.conditions, reasons::kSuspended);
  const bool known = written != nullptr && written->status == "True";
  DeleteLeftovers(observed, known ? written->last_transition_time : draft.now,
                  "the job is suspended and the worker did not exit by itself", draft);
  draft.plan.new_reign = !observed.job.spec.suspend &&
                         std::all_of(observed.pods.begin(), observed.pods.end(), HasEnded);
  return Next::kStop;
}

}  // namespace muster::job
