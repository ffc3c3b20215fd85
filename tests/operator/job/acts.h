// What a plan does, without its words: what tables of plans compare.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "operator/job/plan.h"
#include "tests/operator/job/observed_builder.h"

namespace muster::job {

// The part of a plan that acts. Conditions have tests of their own.
struct Acts {
  std::vector<base::MemberId> creates = {};
  std::vector<std::string> deletes = {};
  std::optional<Target> target = {};
  std::optional<Verdict> fail = {};
  bool drain = false;
  bool ended = false;
  friend bool operator==(const Acts&, const Acts&) = default;
};

inline void PrintTo(const Acts& acts, std::ostream* out) {
  *out << "creates";
  for (base::MemberId id : acts.creates) *out << " " << base::ToString(id);
  *out << "; deletes";
  for (const std::string& name : acts.deletes) *out << " " << name;
  if (acts.target) *out << "; target " << acts.target->desired << "/" << acts.target->min;
  if (acts.fail) *out << "; fail " << acts.fail->reason << ": " << acts.fail->message;
  *out << (acts.drain ? "; drain" : "") << (acts.ended ? "; ended" : "");
}

inline Acts ActsOf(const Plan& plan) {
  Acts acts;
  for (const CreatePod& create : plan.creates) {
    acts.creates.push_back(create.member);
    EXPECT_FALSE(create.reason.empty());
    EXPECT_FALSE(create.message.empty());
  }
  for (const DeletePod& wanted : plan.deletes) {
    acts.deletes.push_back(wanted.name);
    EXPECT_FALSE(wanted.reason.empty());
    EXPECT_FALSE(wanted.message.empty());
  }
  acts.target = plan.set_target;
  acts.fail = plan.fail_job;
  acts.drain = plan.drain;
  acts.ended = plan.ended;
  return acts;
}

inline Acts Decide(ObservedBuilder& observed, double now = 0) {
  return ActsOf(MakePlan(*observed, At(now)));
}

}  // namespace muster::job
