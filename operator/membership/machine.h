// The membership machine: decides who is in. Pure: Step(now, event) -> commands, nothing else
// happens.
//
// One machine serves one job in one reign (term) of a coordinator. The shell (operator/app) feeds
// it events from a bounded queue, obeys the commands in order and publishes Snapshot() after each
// step. Rules M1..M15 are in docs/membership.md; one file per event, named on_<event>.cc.
//
//            +--------+ persisted  +---------+  all Hello  +----------+
//   start -->| Taking |----------->| Knowing |------------>| Settled  |<-----------------------+
//            +--------+  (term)    +---------+  adopt M11  +----------+                        |
//                                      | else                 | evidence M3      | voluntary M5|
//                                      v                      v                  v             |
//                                 +------------+ all Ready +---------+     +----------+ all    |
//                                 | Collecting |---------->| Forming |---->| Announced|--------+
//                                 +------------+  M4       +---------+     +----------+ Installed
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "operator/api/messages.h"
#include "operator/api/training_job.h"
#include "operator/api/view.h"
#include "operator/base/ids.h"
#include "operator/base/time.h"

namespace muster::membership {

// One gRPC stream, numbered by the shell. A member that reconnects has a new one.
using StreamId = std::uint64_t;

// ---- events
// ----------------------------------------------------------------------------------------

struct Start {};  // first event; the machine begins by persisting its term
struct Tick {};   // at least every 10 ms while anything is pending, 50 ms while somebody trains
struct Received {
  StreamId stream = 0;
  api::FromMember message;
};
struct StreamClosed {
  StreamId stream = 0;
};
// Answer to Commands' Persist. `current` is the record as read afterwards (Conflict, Unknown).
struct Persisted {
  api::PersistOutcome outcome = api::PersistOutcome::kOk;
  std::optional<api::Record> current;
};
// From MakePlan: how many members it wants, and the least to train with.
struct SetTarget {
  std::int32_t desired = 0;
  std::int32_t min = 1;
};
// The job's heartbeatTimeout was changed. Members that are here go on beating as they were told, so it
// is never less than five of their beats (Config::heartbeat).
struct SetTimeout {
  base::Duration heartbeat_timeout{0};
};
// The cluster's word: the pod is gone or Failed; evicts all its members (M3). Of a pod with one process
// the member's id is the pod's (operator/base/pod_members.h).
struct PodLost {
  base::MemberId pod;
  std::string reason;
};
// A deletionTimestamp or disruption notice with a grace: a hint, voluntary (M5) until it ends.
struct PodLeaving {
  base::MemberId member;
  base::Duration grace{0};
  std::string reason;
};
// The member's node is NotReady or gone, or no longer so: shortens the deadline of a member that is
// already silent.
struct NodeSuspect {
  std::string node;
  bool suspect = true;
};
// Members that the record names and that ended with an earlier run, before this reign began: gone,
// and nobody is evicted for it.
struct FormerMembers {
  std::vector<base::MemberId> members;
};
struct CheckpointNow {};  // everySeconds is up, or a person asked
struct Drain {};          // finish the step, commit the state, stop (Ctrl-C, suspend)
struct FailJob {
  std::string reason;
  std::string message;
};  // decided by the plan (failure policy, deadline)
struct Dissolve {};  // job gone: members exit at once
// The audit line of a step is safely written (only with Config::audit).
struct AuditWritten {
  base::Step step;
};

using Event = std::variant<Start, Tick, Received, StreamClosed, Persisted, SetTarget, SetTimeout,
                           PodLost, PodLeaving, NodeSuspect, FormerMembers, CheckpointNow, Drain,
                           FailJob, Dissolve, AuditWritten>;

// ---- commands
// --------------------------------------------------------------------------------------

struct Send {
  StreamId stream = 0;
  api::FromCoordinator message;
};
struct CloseStream {
  StreamId stream = 0;
};  // after what was sent before it
// M1: compare-and-swap. `expected` is the record the machine believes to be there (none: no record
// yet). At most one is in flight; exactly one Persisted answers it. A retry after Unknown is the
// same pair.
struct Persist {
  std::optional<api::Record> expected;
  api::Record next;
};
// All members of the view in force have committed `step`; slots by member, samples as their loaders
// read.
struct StepCommitted {
  base::Step step;
  base::Epoch epoch;
  double loss = 0;
  double grad_norm = 0;
  double learning_rate = 0;
  bool clipped = false;
  bool skipped = false;
  std::int64_t tokens = 0;
  std::int32_t members = 0;
  std::int32_t slots_computed = 0;  // by all members together
  struct Slots {
    base::MemberId member;
    std::vector<api::SlotSamples> slots;
  };
  std::vector<Slots> audit;  // empty without audit
};
struct HeldOut {
  base::Step step;
  double loss = 0;
};
struct RolledBack {
  base::Step step;
  std::string reason;
};  // the state is that of `step` again
struct Evicted {
  base::MemberId member;
  std::string node;
  std::string reason;
  std::string message;
};
struct RescaleDone {
  api::Rescale rescale;
};
struct CheckpointDone {
  api::CheckpointRef checkpoint;
};
struct CheckpointAbandoned {
  base::Step step;
  std::string reason;
  bool no_space = false;
  bool refused = false;  // a member's disk said no (also without space); false: a loss broke it
};
struct DigestMismatch {
  base::Step step;
  std::string message;
};
struct JobSucceeded {
  api::JobResult result;
};
struct JobDrained {
  base::Step step;
};  // Drain is complete: the state of `step` is committed
struct JobFailed {
  std::string reason;
  std::string message;
};
struct Note {
  std::string text;
};  // every decision says its reason; the shell logs it

using Command = std::variant<Send, CloseStream, Persist, StepCommitted, HeldOut, RolledBack,
                             Evicted, RescaleDone, CheckpointDone, CheckpointAbandoned,
                             DigestMismatch, JobSucceeded, JobDrained, JobFailed, Note>;
using Commands = std::vector<Command>;

// ---- what others see
// -------------------------------------------------------------------------------

struct MemberSnapshot {
  base::MemberId id;
  std::string node;
  std::string address;
  std::int64_t pid = 0;
  bool in_view = false;
  bool warm = false;  // in the waiting room, may be taken in
  bool connected = false;
  bool leaving = false;
  bool released = false;  // M15: its pod may go
  api::MemberPhase phase = api::MemberPhase::kJoining;
  base::Step step;  // in progress
  base::Step committed;
};

// Latest wins; the plan and the status are made from it.
struct Snapshot {
  api::Record record;
  std::string phase;  // of the machine, for people: Knowing, Settled, Collecting, ...
  std::vector<MemberSnapshot> members;  // view in rank order, then leavers, then the waiting room
  std::int32_t size = 0;                // of the view in force; 0: none
  base::Step committed;                 // lowest of the view (M12)
  bool finishing = false;               // M8: somebody holds the state after the last step
  bool below_min = false;
  std::optional<base::Time> below_min_since;  // only after a first view
  bool succeeded = false;
  bool failed = false;
  double baseline_loss = 0;  // Warm's, of any member
  std::string time_state;    // docs/metrics.md: productive, detecting, agreeing, ...
};

// How long the others of a pod wait with their abort for their parent's word that an evicted process does
// not run (docs/decisions/0009-several-processes.md). It kills at once; one that is slower than this is
// not waited for, because training stands meanwhile.
inline constexpr base::Duration kKillAnswer = std::chrono::milliseconds(200);

// A timeout is never shorter than so many beats: one that is lost must not look like a death.
inline constexpr int kBeatsToTimeout = 5;

struct Config {
  std::string job_uid;
  std::string token;
  api::TrainingJobSpec spec;
  api::Welcome welcome;               // template; identity fields are filled from the record
  std::optional<api::Record> record;  // as read before Start
  // The job has ended under another coordinator, which may have died before its members heard so:
  // whoever says Hello is told this.
  std::optional<api::Finish> ended;
  std::uint64_t seed = 0;  // for nonces
  bool audit = false;
  base::Duration heartbeat = std::chrono::milliseconds(200);
  base::Duration settle = std::chrono::milliseconds(50);            // M4
  base::Duration reconnect_grace = std::chrono::milliseconds(100);  // M3: a reset alone
  base::Duration install_deadline = std::chrono::seconds(10);       // M7, M10
  base::Duration first_view_window =
      std::chrono::seconds(10);  // wait for `desired` before starting with fewer
  base::Duration join_batch = std::chrono::milliseconds(200);  // joins that come together (M9)
  base::WallTime wall_at_zero;  // wall clock at Time zero: times in record and status come from it
};

class Machine {
 public:
  Machine(Config config);
  ~Machine();
  Machine(Machine&&) noexcept;

  Commands Step(base::Time now, const Event& event);

  Snapshot GetSnapshot(base::Time now) const;
  // The time of the next deadline, for shells and simulations that do not want to tick blindly.
  std::optional<base::Time> NextDeadline() const;

 private:
  friend std::vector<std::string> Invariants(const Machine& machine);
  struct State;
  std::unique_ptr<State> state_;
};

// Sentences about what does not hold; empty when all is well. Callable after every step (M1..M15 as
// far as one machine's state can tell).
std::vector<std::string> Invariants(const Machine& machine);

}  // namespace muster::membership
