// The state for people and the conditions for programs: what the draft and the observation amount
// to.
#include "operator/api/conditions.h"

#include <algorithm>
#include <array>

#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {
namespace {

using api::JobState;

struct Facts {
  const Observed& observed;
  const Draft& draft;
  std::int32_t desired = 0;
  std::string counts;  // "3 of 4 members"
  std::optional<Verdict> problem;

  bool Ended() const { return Succeeded() || Failed(); }
  bool Succeeded() const {
    return observed.membership.succeeded || observed.job.status.state == JobState::kSucceeded;
  }
  bool Failed() const {
    // The plan's own fail_job is a wish; the word is membership's, after the members were told.
    return !Succeeded() &&
           (observed.membership.failed || observed.job.status.state == JobState::kFailed);
  }
  // Drained, or there is nothing to drain.
  bool Suspended() const {
    if (Ended()) return false;
    if (observed.membership.drained) return true;
    return observed.on_cluster && observed.job.spec.suspend && !draft.not_suspended &&
           std::all_of(observed.pods.begin(), observed.pods.end(), HasEnded);
  }
  // For the end of a sentence that says that something is missing.
  std::string Because() const { return problem ? ": " + problem->message : ""; }
  // A view that is smaller or larger than wanted because the wish has changed since it was last
  // met.
  bool Resizing() const {
    return observed.membership.reached != 0 && observed.membership.reached != desired &&
           observed.membership.size != desired;
  }
};

api::Condition Make(const char* type, bool status, std::string reason, std::string message) {
  return {type, status ? "True" : "False", std::move(reason), std::move(message), base::WallTime()};
}

JobState StateOf(const Facts& facts) {
  const MembershipView& membership = facts.observed.membership;
  if (facts.Succeeded()) return JobState::kSucceeded;
  if (facts.Failed()) return JobState::kFailed;
  if (facts.Suspended()) return JobState::kSuspended;
  if (!membership.had_view) {
    for (const Pod& pod : facts.observed.pods) {
      if (pod.phase == PodPhase::kRunning) return JobState::kStarting;
    }
    return JobState::kPending;
  }
  if (facts.Resizing()) return JobState::kResizing;
  return membership.size < facts.desired ? JobState::kDegraded : JobState::kRunning;
}

api::Condition Running(const Facts& facts) {
  const MembershipView& membership = facts.observed.membership;
  if (facts.Ended()) return Make(reasons::kRunning, false, reasons::kEnded, "the job has ended");
  if (facts.Suspended()) {
    return Make(reasons::kRunning, false, reasons::kSuspended, "the job is suspended");
  }
  if (!membership.had_view) {
    if (facts.problem) {
      return Make(reasons::kRunning, false, facts.problem->reason, facts.problem->message);
    }
    return Make(reasons::kRunning, false, reasons::kStarting, "no view has been formed yet");
  }
  if (membership.below_min_since) {
    return Make(reasons::kRunning, false, reasons::kBelowMin,
                facts.counts + " are fewer than minReplicas; they keep the state and wait" +
                    facts.Because());
  }
  if (membership.finishing) {
    return Make(reasons::kRunning, true, reasons::kFinishing,
                "the last step is committed; the final state is being written");
  }
  return Make(reasons::kRunning, true, reasons::kTraining, "training with " + facts.counts);
}

api::Condition Degraded(const Facts& facts, JobState state) {
  const MembershipView& membership = facts.observed.membership;
  const bool over = facts.Ended() || facts.Suspended();
  if (membership.below_min_since && !over) {
    return Make(reasons::kDegraded, true, reasons::kBelowMin,
                facts.counts + " are fewer than minReplicas" + facts.Because());
  }
  // Somebody has to do something about it, or make room.
  if (facts.problem && !over && membership.size < facts.desired) {
    return Make(reasons::kDegraded, true, facts.problem->reason, facts.problem->message);
  }
  // Training goes on, but a loss of everybody would cost more than it should.
  if (const auto& problem = membership.checkpoint_problem; problem && !over) {
    return Make(reasons::kDegraded, true, problem->reason, problem->message);
  }
  if (state != JobState::kDegraded) {
    return Make(reasons::kDegraded, false, reasons::kAllMembersPresent,
                facts.counts + (over ? "" : facts.Because()));
  }
  std::string message = "training with " + facts.counts;
  if (!facts.draft.history.empty()) {
    const api::FailureEntry& last = facts.draft.history.back();
    message += "; last lost: " + base::ToString(last.member) + " (" + last.reason + ")";
  }
  return Make(reasons::kDegraded, true, reasons::kMembersMissing, message);
}

api::Condition Resizing(const Facts& facts, JobState state) {
  if (state == JobState::kResizing) {
    return Make(reasons::kResizing, true, reasons::kTargetChanged,
                "from " + std::to_string(facts.observed.membership.reached) + " to " +
                    std::to_string(facts.desired) + " members" + facts.Because());
  }
  return Make(reasons::kResizing, false, reasons::kTargetReached, facts.counts);
}

api::Condition Suspended(const Facts& facts) {
  const Draft& draft = facts.draft;
  if (facts.Suspended()) {
    // Another operator may have seen the drain.
    const api::Condition* written =
        api::FindCondition(facts.observed.job.status.conditions, reasons::kSuspended);
    const bool drained =
        facts.observed.membership.drained ||
        (written != nullptr && written->status == "True" && written->reason == reasons::kDrained);
    if (drained) {
      return Make(reasons::kSuspended, true, reasons::kDrained,
                  "the state is committed; the job can go on from it");
    }
    return Make(reasons::kSuspended, true, reasons::kNoWorkers,
                "no worker runs; the job can go on from its last checkpoint, or begins");
  }
  if (draft.not_suspended) {
    return Make(reasons::kSuspended, false, draft.not_suspended->reason,
                draft.not_suspended->message);
  }
  if (draft.plan.drain || (facts.observed.job.spec.suspend && !facts.Ended())) {
    return Make(reasons::kSuspended, false, reasons::kDraining,
                "the step is finished and the state committed first");
  }
  return Make(reasons::kSuspended, false, reasons::kNotSuspended, "the job is not suspended");
}

api::Condition Admitted(const Facts& facts) {
  if (facts.draft.not_admitted) {
    return Make(reasons::kAdmitted, false, facts.draft.not_admitted->reason,
                facts.draft.not_admitted->message);
  }
  if (facts.problem && facts.problem->reason == reasons::kTemplateRefused) {
    return Make(reasons::kAdmitted, false, facts.problem->reason, facts.problem->message);
  }
  return Make(reasons::kAdmitted, true, reasons::kAccepted,
              "the job is valid and has been taken on");
}

api::Condition Failed(const Facts& facts) {
  if (!facts.Failed()) {
    return Make(reasons::kFailed, false, reasons::kNotFailed, "nothing has ended the job");
  }
  const std::optional<Verdict>& verdict = facts.observed.membership.failed;
  if (verdict) return Make(reasons::kFailed, true, verdict->reason, verdict->message);
  for (const api::Condition& written : facts.observed.job.status.conditions) {
    if (written.type == reasons::kFailed && written.status == "True") {
      return Make(reasons::kFailed, true, written.reason, written.message);
    }
  }
  return Make(reasons::kFailed, true, reasons::kEnded, "the job has failed");
}

}  // namespace

void SetConditions(const Observed& observed, Draft& draft) {
  const std::int32_t desired = DesiredMembers(observed.job);
  const Facts facts{
      observed, draft, desired,
      std::to_string(observed.membership.size) + " of " + std::to_string(desired) + " members",
      FindProblem(observed, draft)};
  const JobState state = StateOf(facts);
  std::vector<api::Condition> conditions = {
      Admitted(facts),
      Running(facts),
      Degraded(facts, state),
      Resizing(facts, state),
      Suspended(facts),
      Make(reasons::kSucceeded, facts.Succeeded(),
           facts.Succeeded() ? reasons::kAllStepsCommitted : reasons::kNotFinished,
           facts.Succeeded()
               ? "every member has committed the last step and the final state is written"
               : "steps are left"),
      Failed(facts),
  };
  draft.plan.state = state;
  draft.plan.conditions = std::move(conditions);
}

Plan MakeUnreadablePlan(const api::TrainingJob& job, const std::string& why) {
  Plan plan;
  plan.started = false;
  plan.state = job.status.state;
  const std::string message = "the job cannot be read, so nothing is done about it: " + why +
                              "; an operator of the release that wrote it can";
  plan.conditions.push_back(Make(reasons::kAdmitted, false, reasons::kUnreadable, message));
  constexpr std::array kOthers = {reasons::kRunning,   reasons::kDegraded,  reasons::kResizing,
                                  reasons::kSuspended, reasons::kSucceeded, reasons::kFailed};
  for (const char* type : kOthers) {
    plan.conditions.push_back({type, "Unknown", reasons::kUnreadable, message, base::WallTime()});
  }
  return plan;
}

}  // namespace muster::job
