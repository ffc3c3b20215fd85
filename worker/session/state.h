// What a session knows, and what each event does to it. Private to this folder.
//
// Nothing here waits. An event changes the fields below and then Advance() issues every command
// that has become possible; so the order in which threads report never matters beyond what Advance
// asks for.
//
// Invariants (checked by Invariants()): the sum holds only slots of the step after the committed
// one; nothing is applied that was not confirmed; between Ready and the next view nothing commits
// (M4).
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "worker/session/session.h"

namespace muster::session {

// The integer sum in the shell's buffer, as far as the events have told.
struct Sums {
  api::SumTag tag;
  std::set<api::Slot> held;                                 // added whole
  std::set<api::Slot> in_progress;                          // begun, will be added
  std::map<api::Slot, std::vector<std::uint64_t>> samples;  // of `held`, for the audit
};

// What this member did for the step in progress; goes into Committed.
struct Effort {
  base::Step step;
  std::int32_t slots_computed = 0;
  double compute_seconds = 0;
  double reduce_seconds = 0;
  double recompute_seconds = 0;
};

enum class Ring { kNone, kConnecting, kReady, kLost };
// What the communicator thread has in its hands; each ends with exactly one event.
enum class Collective { kNone, kReduce, kEvaluate };
// Where the state for the installed view comes from.
enum class Source { kOwn, kFresh, kCheckpoint, kPeers };

struct BeatContact {
  std::uint64_t sequence = 0;
  base::Time sent;
};

struct Session::State {
  explicit State(Config c) : config(std::move(c)) {}

  Config config;
  base::Time now;
  Commands out;
  bool exited = false;

  // ---- the coordinator
  bool stream_up = false;
  base::Term term;  // highest heard (M1)
  std::optional<api::Welcome> welcome;
  std::optional<Loaded> loaded;
  std::deque<BeatContact> beats;      // sent, newest last
  std::optional<base::Time> contact;  // when the newest acknowledged beat was sent
  std::vector<Command> guarded;       // writes that wait for fresh contact (M2)
  std::uint64_t progress = 0;

  // ---- what the coordinator has not acknowledged, sent again after StreamUp
  std::deque<api::Committed> reports;
  std::size_t reports_told = 0;  // of them, from the front, over the stream that is up
  std::optional<api::Installed> installed_report;
  std::optional<api::Ready> ready_report;  // set: phase Ready
  std::optional<api::Evaluated> evaluated_report;
  std::optional<api::CheckpointPart> part_report;
  std::optional<api::ManifestWritten> manifest_report;
  std::optional<api::Suspect> suspect_report;
  std::optional<api::CannotReach> cannot_report;

  // ---- the view
  std::optional<api::View> view;  // installed or being installed
  std::int32_t rank = -1;         // -1: a leaver of `view`
  base::Epoch installed_epoch;    // newest for which Installed was sent
  base::Epoch interrupted_epoch;  // highest epoch an Interrupt named
  std::optional<base::Epoch>
      owes_ready;            // an Interrupt not yet answered (a confirmed step is being applied)
  bool interrupted = false;  // since `view` was taken up
  bool installing = false;   // Installed not yet sent for `view`
  bool leaving = false;
  std::optional<api::View> pending;  // voluntary, held for the next reduction (M5)
  std::optional<api::View> agreed;   // everybody held it: switch at this boundary
  std::optional<api::RequestCheckpoint> request;
  bool stopped = false;  // last step, kFinish, or stop held by all

  // ---- the state
  bool has_state = false;
  base::Step committed;
  std::uint64_t digest = 0;
  std::uint64_t exponents = 0;  // in force for the step after `committed`
  bool state_asked = false;     // for `view`, from `source`
  bool state_there = false;     // what `view` resumes from is in the buffers
  Source source = Source::kOwn;
  double synchronise_seconds = 0;
  std::optional<base::Time> synchronise_since;
  bool serving = false;

  // ---- the ring
  Ring ring = Ring::kNone;
  double rebuild_seconds = 0;
  Collective collective = Collective::kNone;
  base::Epoch collective_epoch;
  bool collective_void = false;  // aborted: its result will not be believed
  std::optional<base::Time> ring_lost_since;
  std::vector<base::MemberId> ring_lost_peers;

  // ---- the step in progress
  Sums sums;
  Effort effort;
  std::vector<api::Slot> assigned;   // whose slots of the step are this member's
  std::set<api::Slot> handed_over;   // the part of `assigned` that a failure brought
  bool kept_void = false;            // the view does not count what Ready reported as kept (E8)
  bool planned = false;              // ComputeSlots for the step was issued
  bool computing = false;            // an order's ComputeStopped has not come
  bool stopping = false;             // ... and StopCompute was said
  std::optional<api::View> offered;  // `pending` as it was when Reduce was issued
  std::optional<api::RequestCheckpoint> offered_request;
  std::optional<Reduced> confirmed;  // all well, to be applied
  bool applying = false;             // ApplyStep issued
  int copies = 0;                    // CopyForCheckpoint without StateCopied
  bool evaluation_due = false;       // of `committed`

  // ---- leaving
  std::optional<base::Time> leave_before;  // 80 % of the grace (M15)
  std::optional<base::Time> grace_ends;
  bool shrunk = false;                     // `view` has fewer members than the one before it
  std::optional<std::string> start_again;  // why; asked to leave for it, and no signal has come

  // on_welcome.cc, on_stream.cc
  void OnStreamUp();
  void OnReceived(const api::FromCoordinator& message);
  void TellReports();
  void OnWelcome(const api::Welcome& message);
  void OnLoaded(const Loaded& event);
  void OnBeatSent(std::uint64_t sequence);
  void OnBeatAck(const api::BeatAck& message);
  void OnCommitAck(const api::CommitAck& message);
  void OnFinish(const api::Finish& message);
  void OnRelease();
  void OnBroken(const Broken& event);
  // on_view.cc
  void OnView(const api::View& v);
  void Switch();
  void TakeUp(const api::View& v);
  void Leave(const api::View& v);
  void BeginState();
  void PlanResume();
  // on_interrupt.cc
  void OnInterrupt(const api::Interrupt& message);
  void Abandon();
  void AnswerReady();
  // on_compute.cc
  void OnSlotBegun(const SlotBegun& event);
  void OnSlotDone(const SlotDone& event);
  void OnComputeStopped();
  void Clear(const api::SumTag& tag);
  // ahead_in: ComputeSlots::ahead_in.
  void Compute(const std::vector<api::Slot>& slots, base::Epoch ahead_in = {});
  bool SumComplete() const;
  // on_reduce.cc
  void OnReduced(const Reduced& event);
  void OnReduceAborted(const ReduceAborted& event);
  void OnSaturated(const Reduced& event);
  // on_apply.cc
  void OnApplied(const Applied& event);
  void OnEvaluated(const Evaluated& event);
  void Boundary(const Reduced& reduced);
  // on_checkpoint.cc
  void OnRequest(const api::RequestCheckpoint& message);
  void OnWriteManifest(const api::WriteManifest& message);
  void OnCheckpointCommitted(const api::CheckpointCommitted& message);
  void OnPartWritten(const PartWritten& event);
  void OnManifestDone(const ManifestDone& event);
  void Copy();
  void Guarded(Command command);
  void FlushGuarded();
  bool FreshContact() const;
  // on_ring.cc
  void OnRingReady(const RingReady& event);
  void OnRingFailed(const RingFailed& event);
  void OnPeerReset(const PeerReset& event);
  void RingLost(std::vector<base::MemberId> peers);
  void CannotReach(std::vector<base::MemberId> peers, std::string detail);
  void CloseRing();
  // on_state.cc
  void OnStateMade(const StateMade& event);
  void OnStateRestored(const StateRestored& event);
  void OnRestoreFailed(const RestoreFailed& event);
  void OnStateReceived(const StateReceived& event);
  void OnStateFailed(const StateFailed& event);
  void StateThere();
  // on_term.cc
  void OnTermSignal(const TermSignal& event);
  void OnStartAgain(const StartAgain& event);
  void OnTick();
  // advance.cc
  void Advance();
  void AdvanceInstall();
  void AdvanceStep();
  void SendInstalled();
  void Apply();
  void StopServe();
  bool Quiet() const;
  bool OwnStateFits() const;

  // session.cc
  api::MemberPhase Phase() const;
  api::KeptSums Kept() const;
  api::Hello MakeHello() const;
  void Tell(api::MemberMessage message);
  void Fail(api::ExitCode code, std::string reason, std::string message);
  void End(api::ExitCode code, std::string message);
  std::int64_t steps() const { return loaded->spec.training.steps; }
  std::int32_t size() const { return static_cast<std::int32_t>(view->members.size()); }
  bool InView() const { return view.has_value() && rank >= 0 && !interrupted; }
};

// The index of `id` in `view`, or -1.
std::int32_t RankOf(const api::View& view, base::MemberId id);

}  // namespace muster::session
