// Membership's word is final (M12): success is its digests, not some process that exits 0.
#include "operator/job/rules.h"

namespace muster::job {

Next RuleVerdict(const Observed& observed, Draft& draft) {
  const MembershipView& membership = observed.membership;
  if (!membership.succeeded && !membership.failed && !membership.drained) return Next::kGoOn;
  draft.plan.ended = true;
  return Next::kStop;
}

}  // namespace muster::job
