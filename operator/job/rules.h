// The chain of rules behind MakePlan. A rule reads the observation and adds to the draft; its
// answer says whether the rules after it are still asked.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "operator/job/plan.h"

namespace muster::job {

enum class Next { kGoOn, kStop };

// A pod that trains no more and whose place is free.
struct LostPod {
  const Pod* pod = nullptr;
  std::string reason;  // Exited, Killed, Evicted, NodeLost, NeverJoined, Left
  std::string message;
  bool failure = true;   // false: it left because it was asked to
  bool charged = false;  // counts for maxReplacements
  // False: it is replaced, and what became of it may still be told; until then it is neither
  // remembered nor deleted.
  bool settled = true;
};

// What the rules build together. `now` is the one instant of the whole plan.
struct Draft {
  base::WallTime now;
  Plan plan;
  std::vector<LostPod> lost;  // filled by the failure policy, used by the rules after it
  std::vector<api::FailureEntry> history;  // status.failures and the plan's new ones
  std::set<std::int32_t> waiting;          // ordinals whose replacement waits for its back-off
  std::int32_t surge = 0;                  // pods wanted beyond the job's, until a node is left
  std::string surge_reason;
  std::optional<Verdict> not_admitted;   // set: why no pod may be created
  std::optional<Verdict> not_suspended;  // set: why a wish to suspend is not followed

  // Keeps the earliest of all wishes.
  void LookAgain(base::WallTime at);
};

// Terminal states are final: what still runs is told to go after a grace, and the job itself goes
// after its time to live.
Next RuleEnded(const Observed& observed, Draft& draft);
// Membership's word that the job has succeeded, failed or drained is final (M12).
Next RuleVerdict(const Observed& observed, Draft& draft);
// What the API server's rules cannot see: a spec or template that changed under a running job.
Next RuleAdmission(const Observed& observed, Draft& draft);
// Every loss is charged or excused; some end the job.
Next RuleFailurePolicy(const Observed& observed, Draft& draft);
// Lost pods go, by force, except those that are kept for their logs.
Next RuleLostPods(const Observed& observed, Draft& draft);
Next RuleDeadline(const Observed& observed, Draft& draft);
Next RuleBelowMin(const Observed& observed, Draft& draft);
Next RuleSuspend(const Observed& observed, Draft& draft);
// Nodes that are to be left: one pod more where the minimum would be broken, then the pod goes.
Next RuleDrain(const Observed& observed, Draft& draft);
// A lost pod's ordinal gets a new incarnation, at once unless it crashes in a loop.
Next RuleReplace(const Observed& observed, Draft& draft);
Next RuleScaleUp(const Observed& observed, Draft& draft);
// Creations that would be refused wait; after a refusal one pod tries first.
Next RuleHold(const Observed& observed, Draft& draft);
// Deletes only what membership has released or never knew.
Next RuleScaleDown(const Observed& observed, Draft& draft);
Next RuleTarget(const Observed& observed, Draft& draft);

// ---- what several rules ask

bool IsTerminal(api::JobState state);
// Pods that the job wants: replicas and spares.
std::int32_t WantedPods(const api::TrainingJob& job);
std::int32_t DesiredMembers(const api::TrainingJob& job);
// Of each pod. Failures are written down under members' ids; these are those of their pods.
std::int32_t Processes(const Observed& observed);
base::MemberId PodOf(const Observed& observed, const api::FailureEntry& failure);
// The entry of the pod's own loss; null: there is none.
const api::FailureEntry* FindLoss(const Observed& observed,
                                  const std::vector<api::FailureEntry>& history, const Pod& pod);
bool HasEnded(const Pod& pod);  // its process has
// Still counts as a pod of the job: neither finished, nor going, nor lost.
bool IsActive(const Pod& pod, const Draft& draft);
const KnownMember* FindMember(const Observed& observed, base::MemberId id);
// What is known of the pod's node; null: nothing.
const Node* FindNode(const Observed& observed, std::string_view name);
// The first incarnation of `ordinal` that nobody has seen.
base::MemberId NextIncarnation(const Observed& observed, std::int32_t ordinal);
// A pod of the same ordinal came after it.
bool IsSuperseded(const Observed& observed, const Pod& pod);
// Failures of this ordinal's pods and their processes in a row, the newest included: those with less than kStreakGap between
// them. What is not charged may crash in a loop as well.
std::int32_t FailureStreak(const Observed& observed, const Draft& draft, std::int32_t ordinal,
                           bool charged_only = true);
// How long after the newest failure of a streak a replacement waits: 0, 1, 2, 4 ... 60 s.
base::Duration BackOff(std::int32_t streak);
// A loss of which the process and its kubelet said nothing: its node may have gone with it, which a
// cluster tells only after node-monitor-grace-period.
bool IsSilent(std::string_view reason);
// Nodes to which a new pod should rather not go: avoidNodes, where a member fell silent a moment
// ago, and those that are suspect.
std::vector<std::string> NodesToAvoid(const Observed& observed, const Draft& draft);
// Pods that still run are deleted once `since` is kEndGrace ago.
void DeleteLeftovers(const Observed& observed, base::WallTime since, const std::string& message,
                     Draft& draft);

// What status.timeSeconds calls the time that a job is suspended.
inline constexpr char kSuspendedTime[] = "suspended";
inline constexpr base::Duration kStreakGap = std::chrono::minutes(2);
// A process that runs so long and never says Hello is taken for hanging (M10).
inline constexpr base::Duration kJoinDeadline = std::chrono::minutes(2);
// Pods of an ended job exit by themselves; those that do not are deleted after this.
inline constexpr base::Duration kEndGrace = std::chrono::seconds(5);
// A worker that fails so often in a row before any view was formed will not do better later.
inline constexpr std::int32_t kStartAttempts = 6;
// Finished pods of a cluster that stay for `kubectl logs`: the newest so many.
inline constexpr std::size_t kKeptFailedPods = 3;
// A node's death is told by the API server some 50 s after the fact; a silent loss is counted only
// when it could have been, and excused if it was.
inline constexpr base::Duration kNodeWordDelay = std::chrono::seconds(90);
inline constexpr base::Duration kNodeWordWindow = std::chrono::minutes(10);
// A kubelet tells how a process ended within a second or two. Whoever deletes the pod before that
// never learns the exit code, and its log is gone.
inline constexpr base::Duration kKubeletWord = std::chrono::seconds(5);
// The scheduler still believes in a node that fell silent less than this ago.
inline constexpr base::Duration kSilentNodeAvoided = std::chrono::minutes(2);
// A kubelet that lives has ended a pod so long after its grace; otherwise nobody will.
inline constexpr base::Duration kTerminationMargin = std::chrono::seconds(10);

// The state and the conditions that the draft leads to.
void SetConditions(const Observed& observed, Draft& draft);
// What keeps wanted pods from running, the gravest first, with what to do about it; nothing when
// all is well or still under way.
std::optional<Verdict> FindProblem(const Observed& observed, const Draft& draft);

}  // namespace muster::job
