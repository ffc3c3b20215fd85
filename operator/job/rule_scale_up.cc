// More pods wanted than there are: the lowest free ordinals get one.
#include "operator/job/places.h"
#include "operator/job/reasons.h"

namespace muster::job {

Next RuleScaleUp(const Observed& observed, Draft& draft) {
  Places places = CountPlaces(observed, draft);
  const std::vector<std::string> avoid = NodesToAvoid(observed, draft);
  for (std::int32_t ordinal = 0; places.missing > 0; ++ordinal) {
    if (!places.taken.insert(ordinal).second) continue;
    // What is missing last is the one beyond the job's own number.
    const bool surge = places.missing-- <= draft.surge;
    const base::MemberId member = NextIncarnation(observed, ordinal);
    draft.plan.creates.push_back(
        {PodName(observed.job, member, ""), member, surge ? reasons::kSurge : reasons::kScaleUp,
         surge ? draft.surge_reason
               : "the job wants " + std::to_string(WantedPods(observed.job)) + " workers",
         avoid});
  }
  return Next::kGoOn;
}

}  // namespace muster::job
