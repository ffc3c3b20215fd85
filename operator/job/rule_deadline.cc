// activeDeadlineSeconds counts from the job's start, without the time that it was suspended.
#include <algorithm>

#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {
namespace {

// What the status says. Until somebody has closed the sum, a job that goes on is still in there.
base::Duration Suspended(const api::TimeSeconds& time, base::WallTime now) {
  base::Duration sum(0);
  const auto closed = time.closed.find(kSuspendedTime);
  if (closed != time.closed.end()) sum = base::FromSeconds(closed->second);
  if (time.state == kSuspendedTime) sum += std::max(base::Duration(0), now - time.since);
  return sum;
}

}  // namespace

Next RuleDeadline(const Observed& observed, Draft& draft) {
  const auto& seconds = observed.job.spec.active_deadline_seconds;
  const auto& start = observed.job.status.start_time;
  if (!seconds || !start) return Next::kGoOn;
  // The start itself is never taken back: it is what fixes the spec.
  if (observed.on_cluster && observed.job.spec.suspend) return Next::kGoOn;
  const base::WallTime deadline = *start + std::chrono::seconds(*seconds) +
                                  Suspended(observed.job.status.time_seconds, draft.now);
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
