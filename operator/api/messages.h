// What members and the coordinator say to each other. One bidirectional stream per member; each
// message carries (term, epoch) in its envelope (M1, M2). operator/wire turns these into protobuf
// and back.
//
// Flow of a failure (M4):
//   Interrupt -> Ready -> View(voluntary=false) -> Installed
// In a pod of several processes the parent hears it first, and the others when it has answered:
//   Interrupt -> Killed
// Flow of a change (M5):
//   View(voluntary=true) -> [control word counts all] -> Committed, Installed
// Flow of a join (M9):
//   Hello -> Welcome -> Warm -> View
// Flow of a checkpoint (M14):
//   CheckpointPart* -> WriteManifest -> ManifestWritten -> [persist] -> CheckpointCommitted
// Flow of a certificate (docs/security.md), between the stream's two ends: no machine sees it
//   CertificateRequest -> Certificate
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "operator/api/view.h"
#include "operator/base/ids.h"

namespace muster::api {

inline constexpr std::int32_t kProtocolVersion = 1;

// What a member does right now; beats carry it. The order is that of a step.
enum class MemberPhase {
  kJoining,     // no Welcome yet
  kLoading,     // opens data, makes buffers
  kWarm,        // in the waiting room (M9)
  kInstalling,  // greets neighbours, connects, receives or loads state
  kForward,     // computes slots
  kReducing,    // waits for the reduction
  kApplying,    // applies a confirmed reduction
  kEvaluating,
  kReady,    // answered Ready, waits for a view
  kWaiting,  // nothing to do until the coordinator speaks (finish, drained)
  kLeaving,  // switched away from, waits for release (M15)
};

// ---- member -> coordinator ----

// State of the sums a member keeps for the step after its committed one.
struct KeptSums {
  SumTag tag;
  std::vector<Slot> slots;  // added whole, or in progress and about to be
  friend bool operator==(const KeptSums&, const KeptSums&) = default;
};

// First message of every stream, also after a reconnection.
struct Hello {
  std::int32_t protocol = kProtocolVersion;
  std::string job_uid;
  std::string token;  // proves that the process belongs to the job
  base::MemberId member;
  std::int64_t pid = 0;
  std::string node;
  std::string build_id;
  std::vector<std::string> kernel_families;  // it can run, best first
  base::Epoch epoch;                         // newest view it has installed; 0 for a joiner
  base::Epoch pending_epoch;  // voluntary view it holds and has not switched to; 0: none
  base::Term term;            // highest term it has heard
  MemberPhase phase = MemberPhase::kJoining;
  bool interrupted = false;  // aborted its communicator since it installed `epoch`
  base::Step committed;      // highest committed step
  std::uint64_t digest = 0;  // of the committed state; 0: no state
  bool has_state = false;
  KeptSums kept;
  std::string address;  // data plane, empty before Warm
  friend bool operator==(const Hello&, const Hello&) = default;
};

// Process up, device ready, data index open, buffers there: may be put into a view (M9).
struct Warm {
  std::string address;
  std::string kernel_family;
  std::string data_digest;
  std::int64_t parameters = 0;
  double baseline_loss = 0;  // held-out loss of an interpolated trigram (text); 0: none
  std::string device = {};   // what it computes on and reduces with, as one line: all members'
  // SHA-256 of the weights that a fresh state begins with; empty: by the seed, or it has not read
  // them, because its Welcome named those of the job.
  std::string start_weights_digest = {};
  friend bool operator==(const Warm&, const Warm&) = default;
};

struct Heartbeat {
  std::uint64_t sequence = 0;  // echoed by BeatAck: proves fresh contact
  MemberPhase phase = MemberPhase::kJoining;
  base::Step step;  // the step in progress
  // grows whenever training does anything: slots, bytes, phases (stall rule)
  std::uint64_t progress = 0;
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

// M4: the answer to Interrupt, given at once.
struct Ready {
  base::Epoch epoch;  // the epoch that the Interrupt named
  base::Step committed;
  std::uint64_t digest = 0;
  bool has_state = false;
  KeptSums kept;
  friend bool operator==(const Ready&, const Ready&) = default;
};

struct Installed {
  base::Epoch epoch;
  base::Step resume_step;
  std::uint64_t digest = 0;        // of the state it holds now
  double rebuild_seconds = 0;      // greeting and connecting
  double synchronise_seconds = 0;  // receiving or loading state
  friend bool operator==(const Installed&, const Installed&) = default;
};

// M7: it could not install the view; names who could not be reached.
struct CannotReach {
  base::Epoch epoch;
  std::vector<base::MemberId> peers;
  std::string detail;
  friend bool operator==(const CannotReach&, const CannotReach&) = default;
};

// Evidence against a peer (M3).
enum class Evidence { kReset, kTimeout, kChecksum };
struct Suspect {
  base::Epoch epoch;
  base::MemberId peer;
  Evidence evidence = Evidence::kReset;
  std::string detail;
  friend bool operator==(const Suspect&, const Suspect&) = default;
};

// What one member's loader read for one slot of a committed step (audit).
struct SlotSamples {
  Slot slot = 0;
  std::vector<std::uint64_t> samples;
  friend bool operator==(const SlotSamples&, const SlotSamples&) = default;
};

// One committed step as its member saw it. Kept and sent again until CommitAck covers it.
struct Committed {
  base::Epoch epoch;
  base::Step step;
  std::int32_t attempt = 0;
  std::uint64_t digest = 0;  // of the state after the step (E8)
  double loss = 0;           // mean over the step's tokens; same bits everywhere
  double grad_norm = 0;
  double learning_rate = 0;
  bool clipped = false;
  bool skipped = false;  // E5: a flag was raised, the step moved nothing
  std::string offence;  // of a skipped step: first tensor at fault and what it had; same everywhere
  std::int64_t tokens = 0;  // of the whole step
  // by this member for this step, counted in the slot function itself
  std::int32_t slots_computed = 0;
  double compute_seconds = 0;  // of this member, this step
  double reduce_seconds = 0;
  double recompute_seconds = 0;      // spent on slots that were handed to it by a failure
  std::vector<SlotSamples> samples;  // of the slots in its own sum; empty without audit
  friend bool operator==(const Committed&, const Committed&) = default;
};

struct Evaluated {
  base::Epoch epoch;
  base::Step step;
  double held_out_loss = 0;  // nats per token; same bits everywhere
  friend bool operator==(const Evaluated&, const Evaluated&) = default;
};

// M14: this member's share of a checkpoint is on disk and synced (temporary name).
struct CheckpointPart {
  base::Epoch epoch;
  base::Step step;
  std::uint64_t state_digest = 0;  // of the whole state it was copied from
  std::string part_json;           // file, size, checksum, tensors: opaque to the coordinator
  std::string error;               // not empty: it failed (no space left, ...), with a sentence
  friend bool operator==(const CheckpointPart&, const CheckpointPart&) = default;
};

// The manifest is on disk and synced; digest is what the record will name.
struct ManifestWritten {
  base::Epoch epoch;
  base::Step step;
  std::string manifest_digest;
  std::string weights_digest;  // of model.safetensors; set for the final state
  std::string error;
  friend bool operator==(const ManifestWritten&, const ManifestWritten&) = default;
};

// SIGTERM arrived: wants to leave cooperatively (M5), within `grace_seconds`.
struct Leave {
  double grace_seconds = 0;
  friend bool operator==(const Leave&, const Leave&) = default;
};

// It will exit by itself with `exit_code`; the sentence says why.
struct Failing {
  std::int32_t exit_code = 0;
  std::string reason;  // CamelCase, as a condition's
  std::string message;
  friend bool operator==(const Failing&, const Failing&) = default;
};

// Asks for a certificate over the key that signed the request; the key itself stays where it is.
struct CertificateRequest {
  std::string request_pem;  // PKCS #10; only its public key counts
  friend bool operator==(const CertificateRequest&, const CertificateRequest&) = default;
};

// Of a pod's parent, which is no member: this evicted member's process does not run. Said when it has
// ended, and again to each Interrupt that names it later.
struct Killed {
  base::MemberId member;
  friend bool operator==(const Killed&, const Killed&) = default;
};

using MemberMessage = std::variant<Hello, Warm, Heartbeat, Ready, Installed, CannotReach, Suspect,
                                   Committed, Evaluated, CheckpointPart, ManifestWritten, Leave,
                                   Failing, CertificateRequest, Killed>;

// ---- coordinator -> member ----

// All of the job's settings: the one source of truth of a worker.
struct Welcome {
  std::string job_uid;
  std::string job_name;
  std::string spec_json;      // TrainingJobSpec as JSON (training_job_json.h)
  std::string kernel_family;  // pinned; load this one (E3)
  std::string build_id;       // of the job; empty: the member's own is taken
  std::string data_digest;    // of the job; empty: the member's own is taken
  // Of the weights that the job has begun with, once the record has it; empty: none, or the member's
  // own is taken.
  std::string start_weights_digest;
  std::string checkpoint_path;  // directory; empty: none
  bool audit = false;
  double heartbeat_seconds = 0.2;
  double heartbeat_timeout_seconds = 1;
  friend bool operator==(const Welcome&, const Welcome&) = default;
};

struct Fenced {  // M2: exit with the code of Fenced, write nothing
  std::string reason;
  friend bool operator==(const Fenced&, const Fenced&) = default;
};

struct Refused {  // other job, build, family, data, protocol: exit with the code of Refused
  std::string reason;
  friend bool operator==(const Refused&, const Refused&) = default;
};

// M4: abort, keep, answer Ready.
struct Interrupt {
  base::Epoch epoch;  // the newest persisted epoch
  std::vector<base::MemberId> evicted;
  friend bool operator==(const Interrupt&, const Interrupt&) = default;
};

struct InstallView {
  View view;
  friend bool operator==(const InstallView&, const InstallView&) = default;
};

struct BeatAck {
  std::uint64_t sequence = 0;
  friend bool operator==(const BeatAck&, const BeatAck&) = default;
};

// All members of the view in force have committed `step`: its report may go, its line be written.
struct CommitAck {
  base::Step step;
  friend bool operator==(const CommitAck&, const CommitAck&) = default;
};

// M5: a checkpoint at the boundary whose control word counts everybody. `id` grows in an epoch.
struct RequestCheckpoint {
  std::uint64_t id = 0;
  bool stop = false;  // train no further after that boundary (drain of the whole job)
  friend bool operator==(const RequestCheckpoint&, const RequestCheckpoint&) = default;
};

// To the lowest rank alive: write the manifest from the parts of all members.
struct WriteManifest {
  base::Step step;
  bool final = false;                   // also export model.safetensors
  std::vector<std::string> parts_json;  // by rank
  friend bool operator==(const WriteManifest&, const WriteManifest&) = default;
};

// The record names it: publish the copy beside the data, delete what is no longer kept.
struct CheckpointCommitted {
  CheckpointRef checkpoint;
  std::vector<CheckpointRef> kept;  // newest first, `checkpoint` included
  friend bool operator==(const CheckpointCommitted&, const CheckpointCommitted&) = default;
};

struct Release {  // M15: a leaver may exit
  friend bool operator==(const Release&, const Release&) = default;
};

// The job is over for this member: exit 0 on success or drain, with the job's failure otherwise.
struct Finish {
  bool succeeded = true;
  std::string reason;
  std::string message;
  friend bool operator==(const Finish&, const Finish&) = default;
};

// The answer to a CertificateRequest; without a chain: only whom to believe has changed.
struct Certificate {
  std::string chain_pem;  // the member's leaf first
  std::string
      ca_bundle_pem;  // every authority whose certificates are good, of coordinator and peers
  friend bool operator==(const Certificate&, const Certificate&) = default;
};

using CoordinatorMessage = std::variant<Welcome, Fenced, Refused, Interrupt, InstallView, BeatAck,
                                        CommitAck, RequestCheckpoint, WriteManifest,
                                        CheckpointCommitted, Release, Finish, Certificate>;

struct Envelope {
  base::Term term;
  base::Epoch epoch;  // coordinator: newest persisted; member: newest installed
  friend bool operator==(const Envelope&, const Envelope&) = default;
};
struct FromMember {
  Envelope envelope;
  MemberMessage message;
  friend bool operator==(const FromMember&, const FromMember&) = default;
};
struct FromCoordinator {
  Envelope envelope;
  CoordinatorMessage message;
  friend bool operator==(const FromCoordinator&, const FromCoordinator&) = default;
};

// Worker exit codes (docs/exit-codes.md); failure policies match on them.
enum class ExitCode : std::int32_t {
  kSucceeded = 0,
  kInternal = 70,
  kFenced = 71,
  kRefused = 72,
  kBadConfiguration = 73,
  kData = 74,
  kNoDevice = 75,
  kWatchdog = 76,
  kOutOfMemory = 77,
  kJobFailed = 78,
  kStartsAgain = 79,
};

}  // namespace muster::api
