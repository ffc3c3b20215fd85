// More pods wanted than there are: the lowest free ordinals get one.
#include "operator/job/places.h"
#include "operator/job/reasons.h"

namespace muster::job {

Next RuleScaleUp(const Observed& observed, Draft& draft) {
  Places places = CountPlaces(observed, draft);
  for (std::int32_t ordinal = 0; places.missing > 0; ++ordinal) {
    if (!places.taken.insert(ordinal).second) continue;
    --places.missing;
    const base::MemberId member = NextIncarnation(observed, ordinal);
    draft.plan.creates.push_back(
        {PodName(observed.job, member, ""), member, reasons::kScaleUp,
         "the job wants " + std::to_string(WantedPods(observed.job)) + " workers"});
  }
  return Next::kGoOn;
}

}  // namespace muster::job
