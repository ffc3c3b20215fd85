// A lost pod's ordinal gets a new incarnation at once; one that crashes in a loop waits longer each
// time.
#include <map>

#include "operator/job/places.h"
#include "operator/job/reasons.h"

namespace muster::job {
namespace {

// Ordinals that something was lost of, with what is known of the pod that is replaced.
std::map<std::int32_t, const LostPod*> Candidates(const Draft& draft) {
  std::map<std::int32_t, const LostPod*> out;
  for (const api::FailureEntry& failure : draft.history)
    out.emplace(failure.member.ordinal, nullptr);
  for (const LostPod& lost : draft.lost) out[lost.pod->member.ordinal] = &lost;
  return out;
}

base::WallTime NewestFailure(const Draft& draft, std::int32_t ordinal) {
  base::WallTime newest;
  for (const api::FailureEntry& failure : draft.history) {
    if (failure.member.ordinal == ordinal) newest = std::max(newest, failure.time);
  }
  return newest;
}

}  // namespace

Next RuleReplace(const Observed& observed, Draft& draft) {
  Places places = CountPlaces(observed, draft);
  for (const auto& [ordinal, lost] : Candidates(draft)) {
    if (places.missing == 0) break;
    if (!places.taken.insert(ordinal).second) continue;
    --places.missing;
    const std::int32_t streak = FailureStreak(draft.history, ordinal, draft.now);
    const base::WallTime due = NewestFailure(draft, ordinal) + BackOff(streak);
    if (draft.now < due) {
      draft.waiting.insert(ordinal);
      draft.LookAgain(due);
      continue;
    }
    const base::MemberId member = NextIncarnation(observed, ordinal);
    draft.plan.creates.push_back(
        {PodName(observed.job, member, lost == nullptr ? "" : lost->pod->uid), member,
         reasons::kReplacement,
         lost == nullptr ? "ordinal " + std::to_string(ordinal) + " was lost before"
                         : lost->message});
  }
  return Next::kGoOn;
}

}  // namespace muster::job
