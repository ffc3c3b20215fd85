// Creations that the API server would refuse wait: for ever where the job itself must be put right,
// else for a back-off. After a refusal one pod tries first, so that a used-up quota costs one
// request at a time and not hundreds.
#include <algorithm>

#include "operator/job/rules.h"

namespace muster::job {

Next RuleHold(const Observed& observed, Draft& draft) {
  std::vector<CreatePod>& creates = draft.plan.creates;
  if (draft.not_admitted || draft.plan.new_reign) creates.clear();
  if (creates.empty() || observed.refused.empty()) return Next::kGoOn;
  base::WallTime due;
  for (const auto& [name, refusal] : observed.refused) {
    due = std::max(due, refusal.last + BackOff(refusal.times + 1));
  }
  if (draft.now < due) {
    draft.LookAgain(due);
    creates.clear();
  } else {
    creates.erase(creates.begin() + 1, creates.end());
  }
  return Next::kGoOn;
}

}  // namespace muster::job
