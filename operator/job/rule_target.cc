// Membership works towards as many members as the job wants now.
#include "operator/job/rules.h"

namespace muster::job {

Next RuleTarget(const Observed& observed, Draft& draft) {
  const api::WorkersSpec& workers = observed.job.spec.workers;
  draft.plan.set_target =
      Target{DesiredMembers(observed.job), workers.min_replicas * workers.processes_per_worker};
  return Next::kGoOn;
}

}  // namespace muster::job
