// A suspended job finishes its step, commits the state and stops; nobody is replaced meanwhile.
#include "operator/job/rules.h"

namespace muster::job {

Next RuleSuspend(const Observed& observed, Draft& draft) {
  if (!observed.job.spec.suspend) return Next::kGoOn;
  draft.plan.drain = true;
  return Next::kStop;
}

}  // namespace muster::job
