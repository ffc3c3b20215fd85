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

// Made for another pod of its ordinal that looks alive. A coordinator that has just taken over cannot
// tell yet: until the members have come back (M11), the one before it was right to replace it.
bool StandsIn(const Observed& observed, const Draft& draft, const Pod& pod) {
  if (!observed.membership.had_view || observed.membership.size > 0) return false;
  return std::any_of(observed.pods.begin(), observed.pods.end(), [&](const Pod& other) {
    return other.member.ordinal == pod.member.ordinal &&
           other.member.incarnation < pod.member.incarnation && IsActive(other, draft);
  });
}

}  // namespace

Next RuleScaleDown(const Observed& observed, Draft& draft) {
  std::vector<const Pod*> active;
  for (const Pod& pod : observed.pods) {
    if (IsActive(pod, draft) && !StandsIn(observed, draft, pod)) active.push_back(&pod);
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
