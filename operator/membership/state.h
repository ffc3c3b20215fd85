// The machine's private state and its steps. One thread: the shell's loop. Events change tables;
// after each of them Advance() looks at the tables and does what they allow (level-triggered), so
// that the order in which two things are learned does not matter.
//
//   New -> Taking -> Knowing -+-> Settled <------------------------------- Announced
//                      |      |      |  evidence                               ^
//                      v      +------+----> Collecting -> Waiting -> Forming --+
//                   Waiting (no view yet: joiners)        (below min, M8)
//   any -> Over (succeeded, drained, failed, dissolved);  any -> Deposed (a higher term exists)
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "operator/base/pod_members.h"
#include "operator/membership/detector.h"
#include "operator/membership/machine.h"

namespace muster::membership {

enum class Phase {
  kNew,
  kTaking,      // the term is being persisted (M1)
  kKnowing,     // listens for members of the recorded views (M11)
  kWaiting,     // nobody trains: waits for joiners (first view, or below min, M8)
  kCollecting,  // Interrupt is out, Ready comes in (M4)
  kForming,     // a view is being persisted
  kAnnounced,   // a view is out and not installed by all; a voluntary one (M5) lets training go on
  kSettled,
  kOver,
  kDeposed,
};

// One process as the coordinator knows it.
struct Member {
  base::MemberId id;
  std::string node;
  std::string address;
  std::int64_t pid = 0;
  std::optional<StreamId> stream;
  base::Time hello_at;
  bool hello = false;           // said Hello in this reign
  bool told = false;            // was sent a view, or says so: it takes part in Interrupt and Ready
  bool ready = false;           // answered since it last was sent a view
  bool owed_interrupt = false;  // waits until its parent has killed the evicted of its pod
  bool warm = false;            // M9
  base::Time warm_since;
  bool dead = false;  // evicted: fenced for ever
  std::string dead_reason;
  bool leaving = false;                // wants to go (Leave, PodLeaving)
  std::optional<base::Time> leave_by;  // 80 % of its grace (M15)
  bool switched_away = false;          // is in no view in force any more, still serves state
  base::Step last_step;                // of one that switched away: the step of the switch (M15)
  bool released = false;
  api::MemberPhase phase = api::MemberPhase::kJoining;
  base::Step step;
  std::uint64_t progress = 0;
  base::Time progress_at;
  base::Epoch installed;
  base::Epoch pending;
  bool interrupted = false;
  base::Step committed;
  std::uint64_t digest = 0;
  bool has_state = false;
  api::KeptSums kept;
  base::Step reported;  // highest Committed in order since its Hello
  base::Step covered;   // steps that came to it as state, not by committing them
  Signs signs;
};

// A change of the record that waits for its turn, or is in flight.
struct Write {
  enum class Kind { kTerm, kView, kCheckpoint } kind = Kind::kTerm;
  std::optional<api::Record> expected;
  api::Record next;
};

// A view that is made and not yet persisted.
struct FormedView {
  api::View view;
  std::vector<base::MemberId> previous;
  base::Epoch previous_epoch;
  std::optional<std::string> rolled_back;  // set: why; said once the record has the view
  bool stale = false;  // a fault came meanwhile: never sent, its number is used up
};

struct PendingCheckpoint {
  base::Step step;
  base::Epoch epoch;
  std::vector<base::MemberId> members;  // by rank
  std::map<base::MemberId, api::CheckpointPart> parts;
  std::optional<base::MemberId> writer;  // WriteManifest was sent to it
  std::optional<api::ManifestWritten> manifest;
};

// What the record names and nobody could load.
struct DamagedCheckpoint {
  base::Step step;
  std::string sentence;
};

struct CheckpointRequest {
  std::uint64_t id = 0;
  bool stop = false;
  base::Step base;  // satisfied by a checkpoint of this step or later
};

// What one change of membership took; emitted when the first step after it is committed by all.
struct RescaleLog {
  api::Rescale rescale;
  base::Time begun;   // last sign of life, or the evidence
  base::Time raised;  // suspicion raised or change announced
  base::Epoch epoch;  // of the view that ends it; 0: not made yet
  bool voluntary = false;
  std::map<base::MemberId, base::Time> installed_at;  // first word of each (voluntary)
};

// Breaks of the reduction without a death, with no step committed between them (breaks.cc).
struct Breaks {
  std::int32_t in_row = 0;
  std::int32_t by_the_same = 0;  // of the last of them
  std::optional<base::MemberId> reporter;
  std::optional<base::Time> pause_until;
};

struct Core {
  explicit Core(Config c);

  // ---- events, one file each ----
  void OnStart();
  void OnTick();
  void OnReceived(const Received& received);
  void OnStreamClosed(const StreamClosed& closed);
  void OnPersisted(const Persisted& persisted);
  void OnSetTarget(const SetTarget& target);
  void OnSetTimeout(const SetTimeout& wanted);
  void OnPodLost(const PodLost& lost);
  void OnPodLeaving(const PodLeaving& leaving);
  void OnNodeSuspect(const NodeSuspect& suspect);
  void OnCheckpointNow();
  void OnDrain();
  void OnFailJob(const FailJob& fail);
  void OnDissolve();
  void OnFormerMembers(const FormerMembers& former);
  void OnAuditWritten(const AuditWritten& written);

  void OnHello(StreamId stream, const api::Hello& hello);
  void OnMessage(Member& m, const api::Warm& warm);
  void OnMessage(Member& m, const api::Heartbeat& beat);
  void OnMessage(Member& m, const api::Ready& ready);
  void OnMessage(Member& m, const api::Installed& installed);
  void OnMessage(Member& m, const api::CannotReach& report);
  void OnMessage(Member& m, const api::Suspect& suspect);
  void OnMessage(Member& m, const api::Committed& committed);
  void OnMessage(Member& m, const api::Evaluated& evaluated);
  void OnMessage(Member& m, const api::CheckpointPart& part);
  void OnMessage(Member& m, const api::ManifestWritten& written);
  void OnMessage(Member& m, const api::Leave& leave);
  void OnMessage(Member& m, const api::Failing& failing);

  // ---- what the tables allow (core.cc and the files named) ----
  void Advance();
  void WakeUp(base::Duration slept);  // M3: the coordinator was asleep, not they
  Limits SilenceLimits() const;
  base::Duration ReturnLimit() const;  // to a new coordinator, M11
  void JudgeMembers();                 // on_tick.cc
  void AdvanceKnowing();               // knowing.cc, M11
  void Adopt();
  void AdvanceCollecting();   // failure.cc, M4
  void AdvanceAnnounced();    // install.cc, M7
  void AdvanceVoluntary();    // voluntary.cc, M5
  void AdvanceReleases();     // voluntary.cc, M15
  void AdvanceCommits();      // commits.cc
  void AdvanceCheckpoints();  // checkpoints.cc, M14
  void AdvanceFinish();       // finish.cc, M12
  void TryForm();             // forming.cc, M6, M8
  void AdvanceWrites();       // persist.cc, M1

  // ---- failure.cc ----
  void Evict(Member& m, const std::string& reason, const std::string& message, base::Time since);
  void BeginRound(const std::string& cause, base::Time since);
  void SendInterrupt(Member& m);
  void FenceIfOut(Member& m);                   // M2
  void RollBackAll(const std::string& reason);  // E8

  // ---- forming.cc ----
  void Form(const std::vector<base::MemberId>& stay, const std::vector<base::MemberId>& join,
            bool finish);
  void FillState(api::View& view, const std::vector<base::MemberId>& stay, FormedView& formed);
  bool ChooseTag(api::View& view) const;
  void FillSlots(api::View& view);
  std::vector<base::MemberId> Joiners(std::size_t at_most) const;
  std::vector<base::MemberId> RankedMembers(const std::vector<base::MemberId>& stay,
                                            const std::vector<base::MemberId>& join) const;
  bool EvaluationDue(base::Step step) const;
  std::optional<api::CheckpointRef> Restorable() const;  // the newest that is not known as damaged
  void OnViewPersisted();
  void AskView(FormedView formed);

  // ---- knowing.cc ----
  bool CanAdopt() const;

  // ---- install.cc ----
  void SettleView(api::View& view);
  void EvictUnreachable(const api::View& view);
  bool FindDamage(const api::View& view);
  void InstallFailed(const api::View& view);  // M7: backs off
  bool BacksOff() const {
    return (form_after && now < *form_after) || (breaks.pause_until && now < *breaks.pause_until);
  }
  void NoteInstalled(const Member& m, const api::Installed& installed);
  void NoteResumed(base::Step step);  // closes the rescale log

  // ---- breaks.cc ----
  void OnBreak(Member& m, const std::string& detail);

  // ---- joins.cc ----
  bool MayTakeIn(const std::vector<base::MemberId>& join, bool complete) const;
  void NoteJoins(const std::vector<base::MemberId>& before, const api::View& next);

  // ---- voluntary.cc ----
  bool WantsChange(std::vector<base::MemberId>& leave, std::vector<base::MemberId>& join) const;
  void Announce(const std::vector<base::MemberId>& leave, const std::vector<base::MemberId>& join);
  void Release(Member& m);
  void LeaveNow(Member& m);

  // ---- commits.cc ----
  bool Accounts(const Member& m, base::Step step, bool* acked_before) const;
  std::vector<base::MemberId> Accountable(base::Step step) const;
  bool CompareDigests(base::Step step);  // E8; false: a mismatch was handled
  void EmitStep(base::Step step);
  base::Step Acknowledged() const;
  void SendAcks();

  // ---- checkpoints.cc ----
  void AbandonCheckpoints(const std::string& why);
  void Abandon(base::Step step, const std::string& why, bool refused = false);
  bool PartsAgree(PendingCheckpoint& pending);
  void OrderManifest(PendingCheckpoint& pending);
  void OnCheckpointPersisted();
  void SendRequest(bool stop);
  bool HasCheckpoints() const { return !config.welcome.checkpoint_path.empty(); }

  // ---- finish.cc ----
  bool FinishStep(const PendingCheckpoint& pending, std::optional<api::JobResult>* result) const;
  bool AnnouncedTooLate() const;
  void Succeed();
  void Drained(base::Step step);
  void Fail(const std::string& reason, const std::string& message);
  void End(const api::Finish& finish);

  // ---- on_pod.cc ----
  std::vector<base::MemberId> MembersOf(base::MemberId pod) const;
  void FindLate(base::MemberId id);
  bool IsParent(base::MemberId id) const;
  void OnParent(StreamId stream, base::MemberId pod);
  void TellParent(base::MemberId evicted);
  void OnKilled(StreamId stream, const api::Killed& killed);
  bool KillsBeforeAborts() const;
  bool AwaitsKill(const Member& m) const;
  void AdvanceKills();

  // ---- core.cc ----
  void Say(const Member& m, api::CoordinatorMessage message);
  void SayTo(StreamId stream, api::CoordinatorMessage message);
  void NoteThat(const std::string& text);
  Member* Find(base::MemberId id);
  const Member* Find(base::MemberId id) const;
  bool InRecord(base::MemberId id) const;
  bool InForce(base::MemberId id) const;
  bool HoldsStateAlone(const Member& m) const;       // M11
  const api::View* NewestView() const;               // announced, else in force
  std::vector<base::MemberId> Recorded() const;      // newest and previous, each once, rank order
  std::vector<base::MemberId> Participants() const;  // of Recorded: alive, told, not released
  std::vector<base::MemberId> ForceMembers() const;
  std::int32_t Processes() const { return config.spec.workers.processes_per_worker; }
  base::Step LastStep() const { return base::Step(config.spec.training.steps); }
  base::Step HighestCommitted() const;
  base::WallTime Wall(base::Time t) const { return config.wall_at_zero + t.time_since_epoch(); }
  std::uint64_t Nonce();

  Config config;
  Phase phase = Phase::kNew;
  base::Time now;
  std::optional<base::Time> last_event;
  Commands out;

  // What the record holds, as far as known, and the write in flight.
  std::optional<api::Record> record;
  base::Term term;
  std::unique_ptr<const Write> in_flight;  // two records: only while there is one
  std::optional<base::Time> retry_at;      // the write came back Unknown
  std::int32_t unanswered_writes = 0;      // Persist commands less Persisted events
  bool want_term = false;
  std::optional<FormedView> formed;  // waits to be persisted, or is in flight
  std::optional<api::CheckpointRef> checkpoint_to_write;
  std::optional<api::JobResult> result_to_write;
  std::string kernel_family, build_id, data_digest, device, start_weights_digest;
  base::Time listening_since;
  std::uint64_t nonces = 0;
  std::vector<Received> deferred;  // Hellos that came before the term was persisted

  std::map<base::MemberId, Member> members;
  std::map<StreamId, base::MemberId> streams;
  std::set<base::MemberId> evicted_now;  // named by Interrupts of this round
  std::set<base::MemberId> lost_pods;    // whose processes may still speak
  // By pod, where they have several processes: who kills the evicted. No member, and never missed.
  std::map<base::MemberId, StreamId> parents;
  // Evicted members whose parent has not answered yet, and when they were evicted.
  std::map<base::MemberId, base::Time> kills;

  std::optional<api::View> force;      // the view in force, or being installed after a failure
  std::optional<api::View> announced;  // M5: persisted and sent, not in force
  std::map<base::Epoch, std::vector<base::MemberId>> views;  // recent ones, by rank
  std::map<base::Epoch, api::View> layouts;                  // of `views`: whose slot is whose
  SetTarget target;
  std::int32_t reached = 0;  // the target that a view last had in full; 0: none yet

  // Joins (M9).
  std::optional<base::Time> joined_at;  // a change that only took members in came into force
  bool makes_good = false;  // the view is short of somebody whom it lost, and nobody came in since

  // The round (M4).
  base::Epoch round_epoch;
  base::Time round_started;
  std::optional<base::Time> answered_since;  // all who are connected have answered
  std::optional<base::Time> below_min_since;
  bool void_kept = false;                // a checksum failed: no kept sum is believed
  std::optional<std::string> roll_back;  // E8: why everybody goes back
  std::int32_t roll_backs = 0;           // without a step committed since
  std::int32_t checksum_rounds = 0;
  base::Epoch rolled_back_epoch;

  // Install (M7).
  base::Time installing_since;
  std::map<base::MemberId, std::vector<base::MemberId>> unreachable;  // reporter -> whom
  std::map<base::MemberId, std::string> restore_failed;  // its sentence about the checkpoint
  std::optional<DamagedCheckpoint> damaged;              // until the record names it no more
  std::string cannot_install;                            // the last sentence about it
  std::int32_t failed_installs = 0;                      // in a row, whoever was to blame
  std::int32_t unexplained_installs = 0;                 // of them, those with nobody to blame
  std::optional<base::Time> form_after;                  // the back-off ends
  Breaks breaks;

  // Commits.
  std::map<base::Step, std::map<base::MemberId, api::Committed>> reports;
  base::Step acked;  // StepCommitted was said for it, or by the coordinator before
  std::map<base::Step, std::uint64_t> digests;
  std::optional<api::Committed> last_report;  // of the highest step said
  std::set<base::Step> awaiting_audit;
  std::optional<base::Time> step_at;
  StepTimes step_times;
  std::int32_t skipped_in_row = 0;
  base::Step evaluated;
  std::string held_out_loss;  // of `evaluated`
  std::optional<RescaleLog> rescaling;

  // Checkpoints (M14).
  std::map<base::Step, PendingCheckpoint> checkpoints;
  std::optional<CheckpointRequest> request;
  std::uint64_t request_count = 0;
  std::optional<base::Time> checkpoint_due;  // asked for, or broken and to be asked for again

  bool resumes = false;  // goes on from an earlier run, and has no view of its own yet
  bool draining = false;
  bool below_min_over = false;  // belowMinTimeout: commit what there is, then fail
  double baseline_loss = 0;
  std::optional<api::Finish> finish;
  std::optional<api::JobResult> result;
};

struct Machine::State : Core {
  using Core::Core;
};

std::vector<std::string> InvariantsOf(const Core& core);  // invariants.cc
Snapshot SnapshotOf(const Core& core);                    // snapshot.cc
std::optional<base::Time> NextDeadlineOf(const Core& core);
base::Duration InstallBackOff(std::int32_t failed);  // install.cc
std::string ToString(Phase phase);

}  // namespace muster::membership
