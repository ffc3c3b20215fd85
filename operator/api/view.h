// The view: who trains together now, and what everybody must do to begin. Also the record: what the
// coordinator persists. Values only; docs/membership.md has the rules (M1..M15) they serve.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "operator/base/ids.h"
#include "operator/base/time.h"

namespace muster::api {

// A slot's index in a step, 0 <= slot < M.
using Slot = std::int32_t;

// What names a kept integer sum (M6): sums of one step may only be added when all of this agrees.
struct SumTag {
  base::Step step;              // the step the sum belongs to
  std::int32_t attempt = 0;     // 0 unless Exact32 redid the step with other exponents
  std::uint64_t exponents = 0;  // digest of the exponents in force; 0 where there are none
  friend auto operator<=>(const SumTag&, const SumTag&) = default;
};

// One member of a view. The vector index in View::members is its rank (M13).
struct ViewMember {
  base::MemberId id;
  std::string address;     // host:port of its data-plane listener (ring and state transfer)
  std::string node;        // name of the node it runs on; neighbours by node (M13)
  bool has_state = false;  // true: committed the step before resume_step; false: must receive state
  std::vector<Slot> slots;  // its slots of every step after resume_step
  // its slots of resume_step: what it kept, plus its share of what was lost
  std::vector<Slot> resume_slots;
  // the part of resume_slots whose sum it already holds under resume_tag
  std::vector<Slot> kept_slots;
  friend bool operator==(const ViewMember&, const ViewMember&) = default;
};

// A process that is not in the view but still serves state until it is released (M15).
struct Leaver {
  base::MemberId id;
  std::string address;
  friend bool operator==(const Leaver&, const Leaver&) = default;
};

// Where the state of a whole job is read from when no member holds it: the record's checkpoint.
struct CheckpointRef {
  base::Step step;  // number of committed steps in it
  base::Epoch epoch;
  std::string digest;  // hex SHA-256 of the manifest
  base::WallTime time;
  friend bool operator==(const CheckpointRef&, const CheckpointRef&) = default;
};

enum class ViewGoal {
  kTrain,   // train from resume_step on
  kFinish,  // M8: compare digests and write the state of resume_step - 1, no more steps
};

struct View {
  base::Term term;
  base::Epoch epoch;
  // M5: switch when the control word counts everybody; else install at once (M4)
  bool voluntary = false;
  ViewGoal goal = ViewGoal::kTrain;
  std::vector<ViewMember> members;  // in rank order
  std::vector<Leaver> leavers;      // members of the view before that leave cooperatively
  base::Step resume_step;  // first step of this view. Voluntary: value 0, decided by the switch
  SumTag resume_tag;       // tag of the kept sums of resume_step, when any are kept
  // E8's digest of the state of resume_step - 1; 0: not known (voluntary, fresh)
  std::uint64_t state_digest = 0;
  std::optional<CheckpointRef> restore;  // set: everybody loads this checkpoint (nobody has state)
  bool fresh = false;                    // set: everybody makes the initial state from the seed
  bool evaluate = false;  // the held-out loss of resume_step - 1 is due and not yet reported
  friend bool operator==(const View&, const View&) = default;
};

// Members of a view as the record names them, in rank order.
struct RecordedView {
  base::Epoch epoch;
  std::vector<base::MemberId> members;
  friend bool operator==(const RecordedView&, const RecordedView&) = default;
};

// What the job ended with (M12).
struct JobResult {
  std::string digest;          // hex, 16 digits: E8's over the final state
  std::string weights_digest;  // hex SHA-256 of model.safetensors
  std::string loss;            // of the last step, shortest decimal that reads back
  std::string held_out_loss;   // empty when the program has none
  friend bool operator==(const JobResult&, const JobResult&) = default;
};

// M1: persisted by compare-and-swap before anything in it is said.
struct Record {
  std::int32_t protocol = 1;  // version of record and messages
  base::Term term;
  std::uint64_t nonce = 0;    // distinguishes two writers of equal term and epoch
  std::uint64_t version = 0;  // grows by one with every write
  RecordedView newest;
  RecordedView previous;  // members still in use that are not in `newest`, or the view before it
  std::optional<CheckpointRef> checkpoint;  // the newest committed
  std::vector<CheckpointRef>
      kept_checkpoints;              // older committed ones that are not deleted, newest first
  std::string kernel_family;         // E3, chosen when the job starts; empty before
  std::string build_id;              // of the worker program; empty before
  std::string data_digest;           // of the data manifest; empty before
  std::string start_weights_digest;  // of program.weights; empty before, and without them
  std::string device;                // Warm::device of the job; empty before
  std::optional<JobResult> result;
  friend bool operator==(const Record&, const Record&) = default;
};

enum class PersistOutcome { kOk, kConflict, kUnknown };

}  // namespace muster::api
