// Every loss is charged or excused, and some end the job: the job's own rules first, then the
// meaning of the worker's exit code, then the number of replacements in the window.
#include <algorithm>

#include "operator/api/messages.h"
#include "operator/job/by_pods.h"
#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {
namespace {

bool IsWritten(const Observed& observed, const Pod& pod) {
  return FindLoss(observed, observed.job.status.failures, pod) != nullptr;
}

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
  if (auto it = words.find(pod.member); it != words.end()) text += ": " + it->second.message;
  if (!pod.message.empty()) text += "\n" + pod.message;
  return text;
}

// The number by which people know how a process ended: 128 and more for a signal, as shells and
// kubectl show it.
std::optional<std::int32_t> ShownExitCode(const Pod& pod) {
  constexpr std::int32_t kSignalBase = 128;
  if (pod.signal) return kSignalBase + *pod.signal;
  return pod.exit_code;
}

const api::FailureRule* FirstMatch(const api::FailurePolicySpec& policy, const Pod& pod) {
  const std::optional<std::int32_t> shown = ShownExitCode(pod);
  for (const api::FailureRule& rule : policy.rules) {
    const bool code = rule.exit_codes.empty() ||
                      (shown && std::find(rule.exit_codes.begin(), rule.exit_codes.end(), *shown) !=
                                    rule.exit_codes.end());
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

LostPod Evicted(const Observed& observed, const Pod& pod, const Verdict& why) {
  const Node* node = FindNode(observed, pod.node);
  const bool node_lost = node != nullptr && node->suspect();
  const bool charged = !pod.infrastructure_loss && !node_lost && !pod.deletion_time;
  return {&pod, why.reason.empty() ? reasons::kEvicted : why.reason,
          Name(pod) + " was evicted: " + why.message, true, charged};
}

// It heard that it is in no view. Why it was evicted is what counts; its own end is the consequence.
LostPod JudgeFenced(const Observed& observed, const Pod& pod) {
  const auto& evicted = observed.membership.evicted;
  if (auto it = evicted.find(pod.member); it != evicted.end()) {
    return Evicted(observed, pod, it->second);
  }
  // By a coordinator before this one, which has charged it.
  return {&pod, reasons::kFenced, Describe(observed, pod), true, false};
}

Judgement JudgeFailed(const Observed& observed, const Pod& pod) {
  Judgement out;
  // It was leaving in order, and the coordinator that knew of it died before it could release it.
  if (IsExit(pod, api::ExitCode::kFenced) && IsGoing(pod)) {
    out.lost = LostPod{&pod, reasons::kLeft, Name(pod) + " has left", false, false};
    return out;
  }
  // It left in order, as one that ends with 0 does, and wants a successor.
  if (IsExit(pod, api::ExitCode::kStartsAgain)) {
    out.lost = LostPod{&pod, reasons::kLeft, Name(pod) + " starts again", false, false};
    return out;
  }
  LostPod lost{&pod, pod.signal ? reasons::kKilled : reasons::kExited, Describe(observed, pod),
               true, true};
  const api::FailureRule* rule = FirstMatch(observed.job.spec.failure_policy, pod);
  if (pod.infrastructure_loss) {
    lost.reason = reasons::kNodeLost;
    lost.charged = false;
  }
  if (IsExit(pod, api::ExitCode::kFenced)) lost = JudgeFenced(observed, pod);
  // One that obeys a failed job has done no wrong.
  if (IsExit(pod, api::ExitCode::kJobFailed)) lost.charged = false;
  // Somebody asked it to go, and its grace was over.
  if (pod.deletion_time && pod.signal) lost.charged = false;
  if (rule != nullptr && rule->action == api::FailureAction::kIgnore) lost.charged = false;
  // A pod that stays for its log was judged when it ended; rules that came later are for losses
  // that come later.
  const bool judged =
      IsWritten(observed, pod) && observed.on_cluster && IsSuperseded(observed, pod);
  const char* fatal = FatalReason(observed, pod);
  if (!judged && rule != nullptr && rule->action == api::FailureAction::kFailJob) {
    out.verdict = Verdict{reasons::kFailurePolicy, lost.message};
  } else if (!judged && rule == nullptr && fatal != nullptr) {
    out.verdict = Verdict{fatal, lost.message};
  }
  out.lost = std::move(lost);
  return out;
}

// Evicted by membership, and its process may still run or have ended without a word so far.
LostPod JudgeEvicted(const Observed& observed, Draft& draft, const Pod& pod, const Verdict& why) {
  LostPod lost = Evicted(observed, pod, why);
  const Node* node = FindNode(observed, pod.node);
  const bool node_lost = node != nullptr && node->suspect();
  if (!observed.on_cluster || node_lost) return lost;
  auto at = observed.membership.evicted_at.find(pod.member);
  const base::WallTime since = at == observed.membership.evicted_at.end() ? draft.now : at->second;
  lost.settled = draft.now >= since + kKubeletWord;
  if (!lost.settled) draft.LookAgain(since + kKubeletWord);
  return lost;
}

// Replaced by the coordinator before this one, which had fenced it. Most often that one has judged
// the loss, too; if it died before that, all that is left to know is that the process is silent.
LostPod JudgeSuperseded(const Observed& observed, Draft& draft, const Pod& pod, bool node_lost) {
  LostPod lost{&pod, reasons::kFenced, Name(pod) + " has been replaced", false, false};
  if (IsWritten(observed, pod)) return lost;
  lost.reason = reasons::kNeverJoined;
  lost.message += " by another coordinator, and runs without a word";
  lost.failure = true;
  lost.charged = !node_lost;
  const base::WallTime word = observed.membership.listening_since + kKubeletWord;
  lost.settled = node_lost || draft.now >= word;
  if (!lost.settled) draft.LookAgain(word);
  return lost;
}

// Whoever says that it fails is evicted at once, so that the others go on, and may be killed before
// it has ended with the code that it has announced. Where that code ends the job, the word counts.
std::optional<Verdict> JudgeAnnounced(const Observed& observed, const Pod& pod) {
  const auto words = observed.membership.last_words.find(pod.member);
  if (words == observed.membership.last_words.end()) return std::nullopt;
  Pod ended = pod;
  ended.exit_code = words->second.exit_code;
  return JudgeFailed(observed, ended).verdict;
}

Judgement JudgeRunning(const Observed& observed, Draft& draft, const Pod& pod) {
  Judgement out;
  const auto& evicted = observed.membership.evicted;
  if (auto it = evicted.find(pod.member); it != evicted.end()) {
    out.lost = JudgeEvicted(observed, draft, pod, it->second);
    out.verdict = JudgeAnnounced(observed, pod);
    return out;
  }
  if (pod.deleting || FindMember(observed, pod.member) != nullptr) return out;
  // Lost under the coordinator before, which wrote that down and died before it could act on it.
  if (observed.on_cluster && IsWritten(observed, pod)) {
    out.lost = LostPod{&pod, reasons::kFenced, Name(pod) + " was lost before", false, false};
    return out;
  }
  const Node* node = FindNode(observed, pod.node);
  const bool node_lost = node != nullptr && node->suspect();
  if (pod.phase == PodPhase::kPending) {
    if (!node_lost) return out;
    out.lost = LostPod{&pod, reasons::kNodeLost,
                       Name(pod) + " was to start on node " + pod.node +
                           (node->gone ? ", which is gone" : ", which is not ready"),
                       true, false};
    return out;
  }
  if (observed.on_cluster && IsSuperseded(observed, pod)) {
    out.lost = JudgeSuperseded(observed, draft, pod, node_lost);
    return out;
  }
  const base::WallTime late =
      std::max(pod.start_time, observed.membership.listening_since) + kJoinDeadline;
  if (draft.now < late) {
    draft.LookAgain(late);
    return out;
  }
  out.lost = LostPod{&pod, reasons::kNeverJoined, Name(pod) + " runs but never said hello", true,
                     !node_lost};
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

void Append(Draft& draft, const api::FailureEntry& entry) {
  draft.history.push_back(entry);
  draft.plan.failures.push_back(entry);
}

void Remember(const Observed& observed, Draft& draft, const LostPod& lost) {
  const Pod& pod = *lost.pod;
  if (!lost.failure || !lost.settled) return;
  if (FindLoss(observed, draft.history, pod) != nullptr) return;
  api::FailureEntry entry;
  entry.time = pod.finish_time.value_or(draft.now);
  entry.member = LossId(pod.member, Processes(observed));
  entry.node = pod.node;
  entry.reason = lost.reason;
  entry.exit_code = pod.exit_code.value_or(-1);
  entry.charged = lost.charged;
  Append(draft, entry);
}

// A process whose pod runs on, and goes on running: the end of a pod is told by its processes first.
void RememberProcesses(const Observed& observed, Draft& draft) {
  for (const auto& [member, lost] : observed.membership.lost_processes) {
    const base::MemberId id = base::PodOf(member, Processes(observed));
    const auto pod = std::find_if(observed.pods.begin(), observed.pods.end(), [&](const Pod& p) {
      return p.member == id && !HasEnded(p) && !IsGoing(p);
    });
    const bool written = std::any_of(draft.history.begin(), draft.history.end(),
                                     [&](const auto& entry) { return entry.member == member; });
    if (pod == observed.pods.end() || written) continue;
    if (draft.now < lost.since + kKubeletWord) {
      draft.LookAgain(lost.since + kKubeletWord);
      continue;
    }
    const Node* node = FindNode(observed, pod->node);
    api::FailureEntry entry;
    entry.time = lost.since;
    entry.member = member;
    entry.node = pod->node;
    entry.reason = lost.why.reason.empty() ? reasons::kEvicted : lost.why.reason;
    entry.charged = !pod->infrastructure_loss && (node == nullptr || !node->suspect());
    Append(draft, entry);
  }
}

// Infrastructure is never charged, and a node's death is told late: a silent loss whose node turns
// out to be gone is taken back.
void ExcuseNodeLosses(const Observed& observed, Draft& draft) {
  for (api::FailureEntry& failure : draft.history) {
    const Node* node = FindNode(observed, failure.node);
    const bool excused = failure.charged && IsSilent(failure.reason) && node != nullptr &&
                         node->suspect() && draft.now - failure.time <= kNodeWordWindow;
    if (!excused) continue;
    failure.charged = false;
    draft.plan.excused.push_back(failure.member);
  }
}

std::optional<Verdict> TooMany(const Observed& observed, Draft& draft) {
  const api::FailurePolicySpec& policy = observed.job.spec.failure_policy;
  std::int32_t charged = 0;
  for (const api::FailureEntry& failure : draft.history) {
    const base::Duration age = draft.now - failure.time;
    if (!failure.charged || age > policy.window) continue;
    // A rack without power is as many silent losses at once, and no fault of the job's.
    if (observed.on_cluster && IsSilent(failure.reason) && age < kNodeWordDelay) {
      draft.LookAgain(failure.time + kNodeWordDelay);
    } else {
      ++charged;
    }
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
    const std::int32_t streak = FailureStreak(observed, draft, lost.pod->member.ordinal);
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
  ExcuseNodeLosses(observed, draft);
  for (const Pod& pod : observed.pods) {
    Judgement judgement = Judge(observed, draft, pod);
    if (judgement.verdict && !verdict) verdict = std::move(judgement.verdict);
    if (!judgement.lost) continue;
    Remember(observed, draft, *judgement.lost);
    draft.lost.push_back(std::move(*judgement.lost));
  }
  RememberProcesses(observed, draft);
  // On a cluster a loss may come to count only later, and a coordinator that died after it wrote
  // the loss down left the verdict to its successor.
  const bool counts = observed.on_cluster || !draft.plan.failures.empty();
  if (!verdict && counts) verdict = TooMany(observed, draft);
  if (!verdict) verdict = NeverStarts(observed, draft);
  if (!verdict) return Next::kGoOn;
  // The pods stay as evidence, so that a coordinator that dies right now decides the same again.
  draft.plan.fail_job = std::move(verdict);
  return Next::kStop;
}

}  // namespace muster::job
