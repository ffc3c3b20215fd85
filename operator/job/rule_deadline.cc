// activeDeadlineSeconds counts from the job's start.
#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {

Next RuleDeadline(const Observed& observed, Draft& draft) {
  const auto& seconds = observed.job.spec.active_deadline_seconds;
  const auto& start = observed.job.status.start_time;
  if (!seconds || !start) return Next::kGoOn;
  // It fails no job that is suspended; the time until it goes on counts all the same, because the
  // start is never taken back.
  if (observed.on_cluster && observed.job.spec.suspend) return Next::kGoOn;
  const base::WallTime deadline = *start + std::chrono::seconds(*seconds);
  if (draft.now < deadline) {
    draft.LookAgain(deadline);
    return Next::kGoOn;
  }
  draft.plan.fail_job = Verdict{
      reasons::kDeadlineExceeded,
      "the job was active for longer than activeDeadlineSeconds = " + std::to_string(*seconds)};
  return Next::kStop;
}

}  // namespace muster::job
