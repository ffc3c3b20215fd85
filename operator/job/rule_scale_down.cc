// Fewer pods wanted than there are: membership lets its members go (M15), the plan only takes away
// those that it has released or never knew. The highest ordinals go first.
#include <algorithm>

#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {
namespace {

// Training does not feel the loss of such a pod.
bool MayGo(const Observed& observed, const Pod& pod) {
  const KnownMember* member = FindMember(observed, pod.member);
  return member == nullptr || member->released || (!member->in_view && !member->leaving);
}

}  // namespace

Next RuleScaleDown(const Observed& observed, Draft& draft) {
  std::vector<const Pod*> active;
  for (const Pod& pod : observed.pods) {
    if (IsActive(pod, draft)) active.push_back(&pod);
  }
  const std::int32_t wanted = WantedPods(observed.job) + draft.surge;
  auto surplus = static_cast<std::int32_t>(active.size()) - wanted;
  std::sort(active.begin(), active.end(),
            [](const Pod* a, const Pod* b) { return b->member < a->member; });
  for (const Pod* pod : active) {
    if (surplus <= 0) break;
    if (!MayGo(observed, *pod)) continue;
    --surplus;
    draft.plan.deletes.push_back({pod->name, pod->uid, false, reasons::kScaleDown,
                                  "the job wants " + std::to_string(wanted) + " workers"});
  }
  return Next::kGoOn;
}

}  // namespace muster::job
