#include "operator/job/plan.h"

#include <array>

#include "operator/base/sha256.h"
#include "operator/job/rules.h"

namespace muster::job {
namespace {

using Rule = Next (*)(const Observed&, Draft&);

// The order is the policy: what ends a job comes before what repairs it, and what repairs it before
// what changes its size, so that a lost pod is never mistaken for a wish to grow.
constexpr std::array<Rule, 14> kChain = {
    RuleEnded,    RuleVerdict,  RuleAdmission, RuleFailurePolicy, RuleLostPods,
    RuleDeadline, RuleBelowMin, RuleSuspend,   RuleDrain,         RuleReplace,
    RuleScaleUp,  RuleHold,     RuleScaleDown, RuleTarget,
};

}  // namespace

Plan MakePlan(const Observed& observed, base::WallTime now) {
  Draft draft;
  draft.now = now;
  draft.history = observed.job.status.failures;
  for (Rule rule : kChain) {
    if (rule(observed, draft) == Next::kStop) break;
  }
  SetConditions(observed, draft);
  return std::move(draft.plan);
}

std::string PodName(const api::TrainingJob& job, base::MemberId member,
                    const std::string& replaces) {
  const std::string key =
      job.uid + "/" + std::to_string(member.ordinal) + "/" +
      (replaces.empty() ? "incarnation " + std::to_string(member.incarnation) : replaces);
  // 40 bits: a job would need a million pods of one ordinal before two names are likely to meet.
  return job.name + "-" + std::to_string(member.ordinal) + "-" + base::Sha256Hex(key).substr(0, 10);
}

}  // namespace muster::job
