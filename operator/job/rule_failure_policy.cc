// Every loss is charged or excused, and some end the job: the job's own rules first, then the
// meaning of the worker's exit code, then the number of replacements in the window.
#include <algorithm>

#include "operator/api/messages.h"
#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {
namespace {

struct Judgement {
  std::optional<LostPod> lost;
  std::optional<Verdict> verdict;  // the job fails
};

bool IsExit(const Pod& pod, api::ExitCode code) { return pod.exit_code == static_cast<int>(code); }

std::string Name(const Pod& pod) { return "worker " + base::ToString(pod.member); }

// What a person wants to know of a death: how, then the worker's own words, then its last lines.
std::string Describe(const Observed& observed, const Pod& pod) {
  std::string text = Name(pod);
  if (pod.signal) {
    text += " was killed by signal " + std::to_string(*pod.signal);
  } else if (pod.exit_code) {
    text += " exited with code " + std::to_string(*pod.exit_code);
  } else {
    text += " is gone";
  }
  const auto& words = observed.membership.last_words;
  if (auto it = words.find(pod.member); it != words.end()) text += ": " + it->second;
  if (!pod.message.empty()) text += "\n" + pod.message;
  return text;
}

const api::FailureRule* FirstMatch(const api::FailurePolicySpec& policy, const Pod& pod) {
  for (const api::FailureRule& rule : policy.rules) {
    const bool code = rule.exit_codes.empty() ||
                      (pod.exit_code && std::find(rule.exit_codes.begin(), rule.exit_codes.end(),
                                                  *pod.exit_code) != rule.exit_codes.end());
    const bool condition =
        rule.pod_condition.empty() || std::find(pod.conditions.begin(), pod.conditions.end(),
                                                rule.pod_condition) != pod.conditions.end();
    if (code && condition) return &rule;
  }
  return nullptr;
}

// Codes that say: another process would fare no better.
const char* FatalReason(const Observed& observed, const Pod& pod) {
  if (IsExit(pod, api::ExitCode::kRefused)) return reasons::kRefused;
  if (IsExit(pod, api::ExitCode::kBadConfiguration)) return reasons::kBadConfiguration;
  if (IsExit(pod, api::ExitCode::kData)) return reasons::kBadData;
  // Once the job has trained, these say something about one machine, not about the job.
  if (observed.membership.had_view) return nullptr;
  if (IsExit(pod, api::ExitCode::kOutOfMemory)) return reasons::kOutOfMemory;
  if (IsExit(pod, api::ExitCode::kNoDevice)) return reasons::kNoDevice;
  return nullptr;
}

Judgement JudgeFailed(const Observed& observed, const Pod& pod) {
  Judgement out;
  LostPod lost{&pod, pod.signal ? reasons::kKilled : reasons::kExited, Describe(observed, pod),
               true, true};
  const api::FailureRule* rule = FirstMatch(observed.job.spec.failure_policy, pod);
  if (pod.infrastructure_loss) {
    lost.reason = reasons::kNodeLost;
    lost.charged = false;
  }
  // A fenced process was charged when it was evicted, one that obeys a failed job has done no
  // wrong.
  if (IsExit(pod, api::ExitCode::kFenced)) lost.reason = reasons::kFenced;
  if (IsExit(pod, api::ExitCode::kFenced) || IsExit(pod, api::ExitCode::kJobFailed)) {
    lost.charged = false;
  }
  if (rule != nullptr && rule->action == api::FailureAction::kIgnore) lost.charged = false;
  if (rule != nullptr && rule->action == api::FailureAction::kFailJob) {
    out.verdict = Verdict{reasons::kFailurePolicy, lost.message};
  } else if (const char* fatal = FatalReason(observed, pod); rule == nullptr && fatal != nullptr) {
    out.verdict = Verdict{fatal, lost.message};
  }
  out.lost = std::move(lost);
  return out;
}

Judgement JudgeRunning(const Observed& observed, Draft& draft, const Pod& pod) {
  Judgement out;
  const auto& evicted = observed.membership.evicted;
  if (auto it = evicted.find(pod.member); it != evicted.end()) {
    const std::string reason = it->second.reason.empty() ? reasons::kEvicted : it->second.reason;
    out.lost = LostPod{&pod, reason, Name(pod) + " was evicted: " + it->second.message, true,
                       !pod.infrastructure_loss};
    return out;
  }
  const bool joined = FindMember(observed, pod.member) != nullptr;
  if (pod.phase != PodPhase::kRunning || pod.deleting || joined) return out;
  const base::WallTime late =
      std::max(pod.start_time, observed.membership.listening_since) + kJoinDeadline;
  if (draft.now < late) {
    draft.LookAgain(late);
    return out;
  }
  out.lost =
      LostPod{&pod, reasons::kNeverJoined, Name(pod) + " runs but never said hello", true, true};
  return out;
}

Judgement Judge(const Observed& observed, Draft& draft, const Pod& pod) {
  switch (pod.phase) {
    case PodPhase::kFailed:
      return JudgeFailed(observed, pod);
    case PodPhase::kSucceeded:
      return {LostPod{&pod, reasons::kLeft, Name(pod) + " has left", false, false}, std::nullopt};
    case PodPhase::kPending:
    case PodPhase::kRunning:
      return JudgeRunning(observed, draft, pod);
  }
  return {};
}

void Remember(Draft& draft, const LostPod& lost) {
  if (!lost.failure) return;
  const Pod& pod = *lost.pod;
  for (const api::FailureEntry& known : draft.history) {
    if (known.member == pod.member) return;
  }
  api::FailureEntry entry;
  entry.time = pod.finish_time.value_or(draft.now);
  entry.member = pod.member;
  entry.node = pod.node;
  entry.reason = lost.reason;
  entry.exit_code = pod.exit_code.value_or(-1);
  entry.charged = lost.charged;
  draft.history.push_back(entry);
  draft.plan.failures.push_back(entry);
}

std::optional<Verdict> TooMany(const Observed& observed, const Draft& draft) {
  const api::FailurePolicySpec& policy = observed.job.spec.failure_policy;
  std::int32_t charged = 0;
  for (const api::FailureEntry& failure : draft.history) {
    if (failure.charged && draft.now - failure.time <= policy.window) ++charged;
  }
  if (charged <= policy.max_replacements) return std::nullopt;
  return Verdict{
      reasons::kTooManyReplacements,
      std::to_string(charged) + " losses in the last " +
          std::to_string(std::chrono::duration_cast<std::chrono::seconds>(policy.window).count()) +
          " s; failurePolicy.maxReplacements allows " + std::to_string(policy.max_replacements)};
}

// Before any view nothing has ever worked: that is the program's fault, not the machines'.
std::optional<Verdict> NeverStarts(const Observed& observed, const Draft& draft) {
  if (observed.membership.had_view) return std::nullopt;
  for (const LostPod& lost : draft.lost) {
    const std::int32_t streak = FailureStreak(draft.history, lost.pod->member.ordinal, draft.now);
    if (lost.charged && streak >= kStartAttempts) {
      return Verdict{reasons::kWorkersCrash, "no worker has ever started to train, and after " +
                                                 std::to_string(streak) + " attempts " +
                                                 lost.message};
    }
  }
  return std::nullopt;
}

}  // namespace

Next RuleFailurePolicy(const Observed& observed, Draft& draft) {
  std::optional<Verdict> verdict;
  for (const Pod& pod : observed.pods) {
    Judgement judgement = Judge(observed, draft, pod);
    if (judgement.verdict && !verdict) verdict = std::move(judgement.verdict);
    if (!judgement.lost) continue;
    Remember(draft, *judgement.lost);
    draft.lost.push_back(std::move(*judgement.lost));
  }
  if (!verdict && !draft.plan.failures.empty()) verdict = TooMany(observed, draft);
  if (!verdict) verdict = NeverStarts(observed, draft);
  if (verdict) {
    // The pods stay as evidence, so that a coordinator that dies right now decides the same again.
    draft.plan.fail_job = std::move(verdict);
    return Next::kStop;
  }
  for (const LostPod& lost : draft.lost) {
    if (lost.pod->deleting) continue;
    draft.plan.deletes.push_back({lost.pod->name, lost.pod->uid, true, lost.reason, lost.message});
  }
  return Next::kGoOn;
}

}  // namespace muster::job
