// The worker's machine: follows the view. Pure: Step(now, event) -> commands, nothing else happens.
//
// The shell (worker/app) owns a training thread (slots, apply, evaluate, copy), a communicator
// thread (ring, state transfer) and the stream; it turns what they report into events and obeys the
// commands in order. The session itself never waits: Ready is answered while a slot is still being
// computed (M4).
//
//   Joining -> Loading -> Warm -> Installing -> Forward -> Reducing -> Applying -+-> [Evaluating]
//   -> Forward
//                           ^         ^            |           |          |      |
//                           |         |            v           v          v      +-> Waiting
//                           (finish, drained) |         +--------- Ready <------------------+ +->
//                           Leaving -> exit 0
//                           +- (a process never goes back: a fenced one exits)
#pragma once

#include <cstdint>
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

namespace muster::session {

// ---- events
// ----------------------------------------------------------------------------------------

struct StreamUp {};    // a stream is open: say Hello
struct StreamDown {};  // lost; the shell reconnects by itself
struct Received {
  api::FromCoordinator message;
};
// LoadJob finished: data open, buffers made, listener there.
struct Loaded {
  api::Warm warm;
  api::TrainingJobSpec spec;
};  // spec: Welcome's spec_json, parsed
// Something at start or later that ends this process (data, memory, device, configuration).
struct Broken {
  api::ExitCode code = api::ExitCode::kInternal;
  std::string reason;
  std::string message;
};

// Training thread. One ComputeSlots is answered by a SlotBegun and a SlotDone for each slot, in
// order, and by exactly one ComputeStopped, always. A slot may be begun before the one before it is
// done (launch ahead); every slot that was begun is done. The session issues ClearSums, FetchState and
// the next ComputeSlots of other sums only after it, so a late slot never meets buffers that are
// used otherwise.
struct SlotBegun {
  api::SumTag tag;
  api::Slot slot = 0;
};
struct SlotDone {
  api::SumTag tag;
  api::Slot slot = 0;
  double seconds = 0;
  std::vector<std::uint64_t> samples;
};
// Everything asked by ComputeSlots is done (or StopCompute took effect after the slots in progress).
struct ComputeStopped {
  api::SumTag tag;
};
// exponents: digest of the exponents in force for the next step (Exact32; 0 without).
struct StateMade {
  std::uint64_t digest = 0;
  std::uint64_t exponents = 0;
};  // MakeFreshState
struct StateRestored {
  std::uint64_t digest = 0;
  base::Step step;
  std::uint64_t exponents = 0;
};  // RestoreState
struct RestoreFailed {
  std::string message;
  bool damaged = true;  // truncated or altered; false: intact, but this process cannot use it
};
// ApplyStep finished: the state is now that of `step`.
struct Applied {
  base::Step step;
  std::uint64_t digest = 0;
  double loss = 0, grad_norm = 0, learning_rate = 0;
  bool clipped = false, skipped = false;
  std::int64_t tokens = 0;
  std::uint64_t exponents = 0;  // digest of the exponents in force for the next step; 0 without
  std::string offence;          // of a skipped step: what was wrong, a sentence (E5)
  // With an audit: what every slot of the step read, whoever computed it; empty without.
  std::vector<api::SlotSamples> samples;
};
struct Evaluated {
  base::Step step;
  double held_out_loss = 0;
  base::Epoch epoch;
};  // after EvaluateShare and its reduction
struct StateCopied {
  base::Step step;
};  // CopyForCheckpoint: training may go on
struct PartWritten {
  base::Step step;
  api::CheckpointPart part;
};
struct ManifestDone {
  base::Step step;
  api::ManifestWritten written;
};

// Communicator thread.
struct RingReady {
  base::Epoch epoch;
  double seconds = 0;
};
struct RingFailed {
  base::Epoch epoch;
  std::vector<base::MemberId> unreachable;
  std::string detail;
};
// A neighbour's connection broke while the ring was up, without a goodbye (M3).
struct PeerReset {
  base::Epoch epoch;
  base::MemberId peer;
  std::string detail;
};
// What the reduction of (step, attempt) brought, confirmed: nothing of an aborted one is ever
// reported.
struct Reduced {
  base::Epoch epoch;
  api::SumTag tag;
  bool counters_ok = true;                   // E9: every slot exactly once
  bool checksum_ok = true;                   // E8: the linear checksum agrees
  bool saturated = false;                    // Exact32: redo as the next attempt
  std::uint64_t next_exponents = 0;          // digest of the exponents of the redo, when saturated
  bool view_held_by_all = false;             // M5: every member held the pending view
  std::uint64_t checkpoint_held_by_all = 0;  // id of the request that everybody held; 0: none
  bool stop_held_by_all = false;             // ... and it said stop
  double seconds = 0;
};
// The answer to AbortRing or a reset. Each Reduce or EvaluateShare has exactly one answer: its
// result or this.
struct ReduceAborted {
  base::Epoch epoch;
  // It broke and nobody can be named for it (NCCL's errors name no peer); empty otherwise.
  std::string broken = {};
};
// Whole, verified and swapped in. AbortRing ends a FetchState too; one that was already complete is
// still reported.
struct StateReceived {
  base::Epoch epoch;
  base::Step step;
  std::uint64_t digest = 0;
  double seconds = 0;
  std::uint64_t exponents = 0;
};
struct StateFailed {
  base::Epoch epoch;
  std::vector<base::MemberId> from;
  std::string detail;
};

// The shell sent a beat with this sequence: its BeatAck proves contact as fresh as this moment.
struct BeatSent {
  std::uint64_t sequence = 0;
};
struct TermSignal {
  double grace_seconds = 30;
};  // SIGTERM
// What rebuilt communicators left behind in this process is above its limit (worker/nccl/leaks.h): it
// had better leave, and come back as a new member. Said once for each view that finds it so.
struct StartAgain {
  base::Epoch epoch;
  std::string reason;
};
struct Tick {};  // every 50 ms

using Event =
    std::variant<StreamUp, StreamDown, Received, Loaded, Broken, SlotBegun, SlotDone,
                 ComputeStopped, StateMade, StateRestored, RestoreFailed, Applied, Evaluated,
                 StateCopied, PartWritten, ManifestDone, RingReady, RingFailed, PeerReset, Reduced,
                 ReduceAborted, StateReceived, StateFailed, BeatSent, TermSignal, StartAgain, Tick>;

// ---- commands
// --------------------------------------------------------------------------------------

struct Send {
  api::FromMember message;
};  // dropped by the shell while the stream is down, never queued
struct LoadJob {
  api::Welcome welcome;
};  // -> Loaded | Broken
struct MakeFreshState {};  // -> StateMade
struct RestoreState {
  api::CheckpointRef checkpoint;
};  // -> StateRestored | RestoreFailed
// Greets neighbours, connects (M7). Kills any ring before it. -> RingReady | RingFailed
struct ConnectRing {
  api::View view;
  std::int32_t rank = 0;
};
// Goodbye to the neighbours, then abort; idempotent. -> ReduceAborted if a reduction was in flight
struct AbortRing {
  base::Epoch epoch;
};
// Sets the sum to empty (void kept sums) and its tag.
struct ClearSums {
  api::SumTag tag;
};
// Retags kept sums for a redo: same as ClearSums with exponents taken from the last Reduced.
struct ComputeSlots {
  api::SumTag tag;
  std::vector<api::Slot> slots;
  // The view in which the sum, which holds these slots and no others, is reduced once they are added:
  // the reduction may begin while the last of them is computed. 0: not before Reduce asks for it, as
  // with a step that is redone or goes on from kept sums.
  base::Epoch ahead_in;
};  // -> SlotBegun, SlotDone..., ComputeStopped
struct StopCompute {};  // after the slots in progress
struct Reduce {         // -> Reduced | ReduceAborted
  base::Epoch epoch;
  api::SumTag tag;
  base::Epoch pending_view;              // M5: the voluntary view held, 0: none
  std::uint64_t checkpoint_request = 0;  // M5: id of the request held, 0: none
  bool stop_request = false;
};
struct ApplyStep {
  base::Step step;
};  // -> Applied. Only after Reduced with everything ok
struct EvaluateShare {
  base::Epoch epoch;
  base::Step step;
  std::int32_t rank = 0, size = 1;
};  // -> Evaluated | ReduceAborted
struct ServeState {
  base::Epoch epoch;
  base::Step step;
  std::uint64_t digest = 0;
  // Of a member of that view: a state may go by what all of them are connected by. A leaver has no
  // rank in it.
  api::View view{};
  std::int32_t rank = -1;
};  // joiners of `epoch` may read
struct StopServing {};
struct FetchState {
  api::View view;
  std::int32_t rank = 0;
  bool keep_state = false;  // there is one, which counts until another has come whole (M6)
};  // -> StateReceived | StateFailed
struct CopyForCheckpoint {
  base::Step step;
  std::uint64_t digest = 0;
  std::int32_t rank = 0, size = 1;
  bool final = false;
  base::Epoch epoch;
};  // -> StateCopied, later PartWritten
struct WriteManifest {
  api::WriteManifest order;
  base::Epoch epoch;
};  // -> ManifestDone
struct PublishCheckpoint {
  api::CheckpointCommitted committed;
};  // copy beside the data, deletions
struct WriteStepLine {
  base::Step step;
};  // rank 0: steps.jsonl up to `step` (fresh contact was checked)
struct LearnStepTime {
  double seconds = 0;
};  // for metrics: a step was committed
struct Exit {
  api::ExitCode code = api::ExitCode::kSucceeded;
  std::string message;
};
struct Note {
  std::string text;
};

using Command = std::variant<Send, LoadJob, MakeFreshState, RestoreState, ConnectRing, AbortRing,
                             ClearSums, ComputeSlots, StopCompute, Reduce, ApplyStep, EvaluateShare,
                             ServeState, StopServing, FetchState, CopyForCheckpoint, WriteManifest,
                             PublishCheckpoint, WriteStepLine, LearnStepTime, Exit, Note>;
using Commands = std::vector<Command>;

struct Config {
  std::string job_uid;
  std::string token;
  base::MemberId member;
  std::string node;
  std::int64_t pid = 0;
  std::string build_id;
  std::vector<std::string> kernel_families;  // best first; one only after a re-exec pinned it
  // Reports of steps that are on their way and not acknowledged; the others wait. A job that trained
  // through an outage of the coordinator owes one for each step of it, and no queue holds them all.
  std::size_t reports_at_once = 128;
};

class Session {
 public:
  explicit Session(Config config);
  ~Session();
  Session(Session&&) noexcept;

  Commands Step(base::Time now, const Event& event);

  // For the control thread's beats, which do not wait for the session: phase and step, and progress
  // that grows with every event of the training and communicator threads (stall rule, M3).
  api::Heartbeat Beat() const;
  base::Epoch epoch() const;
  base::Step committed() const;
  // In a view, or warm and within the coordinator's reach (M9): a disruption budget lets another
  // member go only once this one counts.
  bool ready() const;

 private:
  friend std::vector<std::string> Invariants(const Session& session);
  struct State;
  std::unique_ptr<State> state_;
};

// Sentences about what does not hold; empty when all is well.
std::vector<std::string> Invariants(const Session& session);

}  // namespace muster::session
