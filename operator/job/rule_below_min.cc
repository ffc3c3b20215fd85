// Below the minimum the members wait (M8); with belowMinTimeout set they do not wait for ever.
#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {

Next RuleBelowMin(const Observed& observed, Draft& draft) {
  const auto& timeout = observed.job.spec.elasticity.below_min_timeout;
  const auto& since = observed.membership.below_min_since;
  if (!timeout || !since || observed.membership.finishing) return Next::kGoOn;
  if (draft.now < *since + *timeout) {
    draft.LookAgain(*since + *timeout);
    return Next::kGoOn;
  }
  draft.plan.fail_job =
      Verdict{reasons::kBelowMin,
              "fewer than minReplicas = " + std::to_string(observed.job.spec.workers.min_replicas) +
                  " workers for longer than belowMinTimeout"};
  return Next::kStop;
}

}  // namespace muster::job
