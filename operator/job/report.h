// What a reign tells people, beside the status: values, in the order in which they happened.
//
// On one machine they are lines and a live view, on Kubernetes Events, log and history.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "operator/api/messages.h"
#include "operator/api/training_job.h"
#include "operator/api/view.h"
#include "operator/base/ids.h"

namespace muster::job {

// All members of the view in force have committed `step`.
struct StepCommitted {
  base::Step step;
  base::Epoch epoch;
  double loss = 0;
  double grad_norm = 0;
  double learning_rate = 0;
  bool skipped = false;
  std::int64_t tokens = 0;  // of the step
  std::int32_t members = 0;
  std::int32_t slots_computed = 0;  // by all members together
  friend bool operator==(const StepCommitted&, const StepCommitted&) = default;
};

struct LiveMember {
  base::MemberId id;
  std::int64_t pid = 0;
  std::string node;
  bool in_view = false;
  bool warm = false;
  bool connected = false;
  bool leaving = false;
  api::MemberPhase phase = api::MemberPhase::kJoining;
  base::Step step;
  base::Step committed;
  friend bool operator==(const LiveMember&, const LiveMember&) = default;
};

// The membership as it is now: pushed when it changes and about five times a second.
struct Live {
  base::Term term;
  base::Epoch epoch;
  std::string phase;       // of the machine: Settled, Collecting, ...
  std::string time_state;  // docs/metrics.md: productive, detecting, ...
  std::int32_t size = 0;   // of the view in force
  std::int32_t desired = 0;
  base::Step committed;
  double baseline_loss = 0;         // held-out loss of the trigram; 0: none
  std::vector<LiveMember> members;  // view in rank order, then leavers, then the waiting room
  friend bool operator==(const Live&, const Live&) = default;
};

struct Evicted {
  base::MemberId member;
  std::string node;
  std::string reason;
  std::string message;
  friend bool operator==(const Evicted&, const Evicted&) = default;
};
struct Rescaled {
  api::Rescale rescale;
  friend bool operator==(const Rescaled&, const Rescaled&) = default;
};
struct CheckpointDone {
  api::CheckpointRef checkpoint;
  friend bool operator==(const CheckpointDone&, const CheckpointDone&) = default;
};
struct CheckpointAbandoned {
  base::Step step;
  std::string reason;
  bool no_space = false;
  bool refused = false;  // a member's disk said no (also without space); false: a loss broke it
  friend bool operator==(const CheckpointAbandoned&, const CheckpointAbandoned&) = default;
};
struct HeldOut {
  base::Step step;
  double loss = 0;
  double baseline = 0;  // of the interpolated trigram; 0: none
  friend bool operator==(const HeldOut&, const HeldOut&) = default;
};
struct RolledBack {
  base::Step step;
  std::string reason;
  friend bool operator==(const RolledBack&, const RolledBack&) = default;
};
// Every decision says its reason: the machine's, the plan's, the cluster's.
struct Note {
  std::string from;  // membership, plan, cluster
  std::string text;
  friend bool operator==(const Note&, const Note&) = default;
};
using Report = std::variant<StepCommitted, Live, Evicted, Rescaled, CheckpointDone,
                            CheckpointAbandoned, HeldOut, RolledBack, Note>;

}  // namespace muster::job
