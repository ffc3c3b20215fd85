// Terminal states are final: nothing is created, what still runs is told to go after a grace, and
// with ttlSecondsAfterFinished the job itself goes.
#include <algorithm>

#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {

// A deletion that was refused is asked for again.
constexpr base::Duration kAskAgain = std::chrono::seconds(5);

void DeleteLeftovers(const Observed& observed, base::WallTime since, const std::string& message,
                     Draft& draft) {
  for (const Pod& pod : observed.pods) {
    if (HasEnded(pod) || pod.deleting) continue;
    if (draft.now < since + kEndGrace) {
      draft.LookAgain(since + kEndGrace);
      continue;
    }
    draft.plan.deletes.push_back({pod.name, pod.uid, false, reasons::kJobEnded, message});
  }
}

Next RuleEnded(const Observed& observed, Draft& draft) {
  if (!IsTerminal(observed.job.status.state)) return Next::kGoOn;
  draft.plan.ended = true;
  base::WallTime ended;
  for (const api::Condition& condition : observed.job.status.conditions) {
    const bool final = condition.type == reasons::kSucceeded || condition.type == reasons::kFailed;
    if (final && condition.status == "True") ended = condition.last_transition_time;
  }
  // A coordinator that came later tells them anew.
  const base::WallTime told = std::max(ended, observed.membership.listening_since);
  DeleteLeftovers(observed, told, "the job has ended and the worker did not exit by itself", draft);
  const auto& ttl = observed.job.spec.ttl_seconds_after_finished;
  // Without the time of its end nobody can say that it is over.
  if (!observed.on_cluster || !ttl || ended == base::WallTime()) return Next::kStop;
  const base::WallTime due = ended + std::chrono::seconds(*ttl);
  if (draft.now < due) {
    draft.LookAgain(due);
  } else {
    draft.LookAgain(draft.now + kAskAgain);
    draft.plan.delete_job = Verdict{
        reasons::kTtlExpired,
        "the job ended more than ttlSecondsAfterFinished = " + std::to_string(*ttl) + " s ago"};
  }
  return Next::kStop;
}

}  // namespace muster::job
