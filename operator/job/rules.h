// The chain of rules behind MakePlan. A rule reads the observation and adds to the draft; its
// answer says whether the rules after it are still asked.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
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
};

// What the rules build together. `now` is the one instant of the whole plan.
struct Draft {
  base::WallTime now;
  Plan plan;
  std::vector<LostPod> lost;  // filled by the failure policy, used by the rules after it
  std::vector<api::FailureEntry> history;  // status.failures and the plan's new ones
  std::set<std::int32_t> waiting;          // ordinals whose replacement waits for its back-off

  // Keeps the earliest of all wishes.
  void LookAgain(base::WallTime at);
};

// Terminal states are final: what still runs is told to go after a grace, nothing else happens.
Next RuleEnded(const Observed& observed, Draft& draft);
// Membership's word that the job has succeeded, failed or drained is final (M12).
Next RuleVerdict(const Observed& observed, Draft& draft);
// Every loss is charged or excused; some end the job.
Next RuleFailurePolicy(const Observed& observed, Draft& draft);
Next RuleDeadline(const Observed& observed, Draft& draft);
Next RuleBelowMin(const Observed& observed, Draft& draft);
Next RuleSuspend(const Observed& observed, Draft& draft);
// A lost pod's ordinal gets a new incarnation, at once unless it crashes in a loop.
Next RuleReplace(const Observed& observed, Draft& draft);
Next RuleScaleUp(const Observed& observed, Draft& draft);
// Deletes only what membership has released or never knew.
Next RuleScaleDown(const Observed& observed, Draft& draft);
Next RuleTarget(const Observed& observed, Draft& draft);

// ---- what several rules ask

bool IsTerminal(api::JobState state);
// Pods that the job wants: replicas and spares.
std::int32_t WantedPods(const api::TrainingJob& job);
std::int32_t DesiredMembers(const api::TrainingJob& job);
// Still counts as a pod of the job: neither finished, nor going, nor lost.
bool IsActive(const Pod& pod, const Draft& draft);
const KnownMember* FindMember(const Observed& observed, base::MemberId id);
// The first incarnation of `ordinal` that nobody has seen.
base::MemberId NextIncarnation(const Observed& observed, std::int32_t ordinal);
// Failures of this ordinal in a row, the newest included: those with less than kStreakGap between
// them.
std::int32_t FailureStreak(const std::vector<api::FailureEntry>& history, std::int32_t ordinal,
                           base::WallTime now);
// How long after the newest failure of a streak a replacement waits: 0, 1, 2, 4 ... 60 s.
base::Duration BackOff(std::int32_t streak);

inline constexpr base::Duration kStreakGap = std::chrono::minutes(2);
// A process that runs so long and never says Hello is taken for hanging (M10).
inline constexpr base::Duration kJoinDeadline = std::chrono::minutes(2);
// Pods of an ended job exit by themselves; those that do not are deleted after this.
inline constexpr base::Duration kEndGrace = std::chrono::seconds(5);
// A worker that fails so often in a row before any view was formed will not do better later.
inline constexpr std::int32_t kStartAttempts = 6;

// The state and the conditions that the draft leads to.
void SetConditions(const Observed& observed, Draft& draft);

}  // namespace muster::job
