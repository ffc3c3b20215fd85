// What keeps wanted pods from running, in a sentence that ends with what to do about it.
#include <algorithm>
#include <array>

#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {
namespace {

// A kubelet's words for a container that waits, and will wait until a person does something.
constexpr std::array<std::string_view, 7> kPullReasons = {
    "ErrImagePull",      "ImagePullBackOff",    "ErrImageNeverPull",        "InvalidImageName",
    "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"};
constexpr std::array<std::string_view, 5> kStartReasons = {
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError",
    "PostStartHookError"};

template <typename List>
bool IsIn(const List& list, const std::string& reason) {
  return std::find(list.begin(), list.end(), reason) != list.end();
}

std::string Sentence(const std::string& words) { return words.empty() ? "" : ": " + words; }

// The refusal with the gravest reason: what a person must mend comes before what passes by itself.
std::optional<Verdict> FromRefusals(const Observed& observed) {
  const auto advice = [](const std::string& reason) -> std::string {
    if (reason == reasons::kTemplateRefused) {
      return "mend spec.workers.template; once the job has started, set spec.suspend to true first "
             "and to false afterwards";
    }
    if (reason == reasons::kNamespaceTerminating) return "the job ends with its namespace";
    if (reason == reasons::kQuotaExceeded) {
      return "it is tried again; raise the namespace's quota, free some of it, or lower "
             "spec.workers.replicas";
    }
    return "it is tried again; the message says who forbids it";
  };
  constexpr std::array kOrder = {reasons::kTemplateRefused, reasons::kNamespaceTerminating,
                                 reasons::kPodsForbidden, reasons::kQuotaExceeded};
  for (const char* reason : kOrder) {
    for (const auto& [name, refusal] : observed.refused) {
      if (refusal.reason != reason) continue;
      return Verdict{reason, "the API server does not take pod " + name +
                                 Sentence(refusal.message) + "; " + advice(reason)};
    }
  }
  return std::nullopt;
}

// How many, then the first of them.
std::string Count(std::size_t pods) { return pods == 1 ? "1 pod" : std::to_string(pods) + " pods"; }

struct Waiting {
  std::vector<const Pod*> pulling, starting, unscheduled;
};

Waiting FindWaiting(const Observed& observed, const Draft& draft) {
  Waiting waiting;
  for (const Pod& pod : observed.pods) {
    if (!IsActive(pod, draft)) continue;
    if (IsIn(kPullReasons, pod.waiting_reason)) waiting.pulling.push_back(&pod);
    if (IsIn(kStartReasons, pod.waiting_reason)) waiting.starting.push_back(&pod);
    if (!pod.unschedulable.empty() && pod.node.empty()) waiting.unscheduled.push_back(&pod);
  }
  return waiting;
}

std::optional<Verdict> FromWaiting(const Waiting& waiting) {
  const auto words = [](const Pod& pod) {
    return " (" + pod.name + ", " + pod.waiting_reason + Sentence(pod.waiting_message) + ")";
  };
  if (!waiting.pulling.empty()) {
    return Verdict{
        reasons::kImagePullFailed,
        Count(waiting.pulling.size()) + " cannot pull an image" + words(*waiting.pulling.front()) +
            "; check the image's name and imagePullSecrets in spec.workers.template, and "
            "that the node reaches the registry"};
  }
  if (!waiting.starting.empty()) {
    return Verdict{reasons::kContainerCannotStart,
                   Count(waiting.starting.size()) + " cannot start a container" +
                       words(*waiting.starting.front()) +
                       "; check the ConfigMaps, Secrets, command and volumes that "
                       "spec.workers.template names"};
  }
  if (!waiting.unscheduled.empty()) {
    return Verdict{reasons::kUnschedulable,
                   "no node has room for " + Count(waiting.unscheduled.size()) +
                       Sentence(waiting.unscheduled.front()->unschedulable) +
                       "; they start by themselves when there is room: add nodes, lower the "
                       "requests, or lower spec.workers.replicas"};
  }
  return std::nullopt;
}

// Workers that end again and again without having trained in between.
std::optional<Verdict> FromCrashes(const Observed& observed, const Draft& draft) {
  if (!observed.on_cluster) return std::nullopt;
  const api::FailureEntry* worst = nullptr;
  std::int32_t longest = 1;
  for (const api::FailureEntry& failure : draft.history) {
    const std::int32_t ordinal = PodOf(observed, failure).ordinal;
    const std::int32_t streak = FailureStreak(observed, draft, ordinal);
    const bool trains =
        std::any_of(observed.membership.members.begin(), observed.membership.members.end(),
                    [&](const KnownMember& member) { return member.id.ordinal == ordinal; });
    if (trains || streak < longest || streak < 2) continue;
    longest = streak;
    worst = &failure;
  }
  if (worst == nullptr) return std::nullopt;
  std::string how = worst->reason;
  if (worst->exit_code >= 0) how += " with code " + std::to_string(worst->exit_code);
  return Verdict{reasons::kWorkersCrash,
                 "worker " + base::ToString(worst->member) + " was the last of " +
                     std::to_string(longest) + " in a row that ended before they trained (" + how +
                     "); another is started after a pause; the log of its pod says more, and "
                     "docs/exit-codes.md what the code means"};
}

}  // namespace

std::optional<Verdict> FindProblem(const Observed& observed, const Draft& draft) {
  if (IsTerminal(observed.job.status.state) || draft.plan.ended) return std::nullopt;
  if (observed.job.spec.suspend && !draft.not_suspended) return std::nullopt;
  if (draft.not_admitted) return draft.not_admitted;
  if (auto refused = FromRefusals(observed)) return refused;
  if (auto waiting = FromWaiting(FindWaiting(observed, draft))) return waiting;
  return FromCrashes(observed, draft);
}

}  // namespace muster::job
