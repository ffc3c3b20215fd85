// A lost pod's ordinal gets a new incarnation at once; one that crashes in a loop waits longer each
// time. A pod that is asked to go is replaced before it has gone.
#include <map>

#include "operator/job/places.h"
#include "operator/job/reasons.h"

namespace muster::job {
namespace {

// What is known of the pod that is replaced.
struct Candidate {
  const Pod* pod = nullptr;
  std::string message;
};

// Ordinals that something was lost of. Of several pods of one ordinal the newest is replaced.
std::map<std::int32_t, Candidate> Candidates(const Observed& observed, const Draft& draft) {
  std::map<std::int32_t, Candidate> out;
  for (const api::FailureEntry& failure : draft.history) {
    const std::int32_t ordinal = PodOf(observed, failure).ordinal;
    out.emplace(ordinal,
                Candidate{nullptr, "ordinal " + std::to_string(ordinal) + " was lost before"});
  }
  // A pod that somebody deleted by force leaves nothing but membership's word.
  for (const auto& [id, why] : observed.membership.evicted) {
    if (!observed.on_cluster) break;
    out[id.ordinal] = {nullptr, "worker " + base::ToString(id) + " was evicted: " + why.message};
  }
  const auto add = [&](const Pod& pod, const std::string& message) {
    Candidate& candidate = out[pod.member.ordinal];
    if (candidate.pod != nullptr && pod.member < candidate.pod->member) return;
    candidate = {&pod, message};
  };
  for (const Pod& pod : observed.pods) {
    if (!IsGoing(pod) || HasEnded(pod)) continue;
    add(pod, "worker " + base::ToString(pod.member) + " is asked to go");
  }
  for (const LostPod& lost : draft.lost) add(*lost.pod, lost.message);
  return out;
}

base::WallTime NewestFailure(const Observed& observed, const Draft& draft, std::int32_t ordinal) {
  base::WallTime newest;
  for (const api::FailureEntry& failure : draft.history) {
    if (PodOf(observed, failure).ordinal == ordinal) newest = std::max(newest, failure.time);
  }
  return newest;
}

}  // namespace

Next RuleReplace(const Observed& observed, Draft& draft) {
  Places places = CountPlaces(observed, draft);
  const std::vector<std::string> avoid = NodesToAvoid(observed, draft);
  for (const auto& [ordinal, candidate] : Candidates(observed, draft)) {
    if (places.missing <= draft.surge) break;
    if (!places.taken.insert(ordinal).second) continue;
    --places.missing;
    // On a cluster a kubelet may refuse one pod after another at once, which is charged to nobody.
    const std::int32_t streak = FailureStreak(observed, draft, ordinal, !observed.on_cluster);
    const base::WallTime due = NewestFailure(observed, draft, ordinal) + BackOff(streak);
    if (draft.now < due) {
      draft.waiting.insert(ordinal);
      draft.LookAgain(due);
      continue;
    }
    const base::MemberId member = NextIncarnation(observed, ordinal);
    draft.plan.creates.push_back(
        {PodName(observed.job, member, candidate.pod == nullptr ? "" : candidate.pod->uid), member,
         reasons::kReplacement, candidate.message, avoid});
  }
  return Next::kGoOn;
}

}  // namespace muster::job
