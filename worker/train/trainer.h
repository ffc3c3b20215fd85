// The steps of a worker: which slots are in the sums of one step, what the members agreed on, and
// what turns a reduced sum into the next state.
//
// The vectors, and every pass over them, are an engine's (engine.h). Slots are computed and added as
// integers (E4, E5); the reduction happens outside, between PrepareReduction and FinishReduction;
// Apply is then the same pass on every member (E6, E7).
//
// One thread at a time (the session's order of commands guarantees it); the engine's `sum` is never
// written by a reduction, so an abort leaves kept sums whole (M4).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/api/view.h"
#include "operator/base/status.h"
#include "worker/data/dataset.h"
#include "worker/data/order.h"
#include "worker/model/program.h"
#include "worker/train/engine.h"
#include "worker/train/state.h"
#include "worker/train/tail.h"

namespace muster::train {

// What a finished reduction says before it is applied.
struct ReduceOutcome {
  bool counters_ok = false;          // E9
  bool checksum_ok = false;          // E8
  bool saturated = false;            // Exact32: redo with next_exponents
  std::uint64_t next_exponents = 0;  // digest of the redo's exponents
  Agreement agreement;
  std::string detail;  // for people, when something is not ok
};

struct ApplyOutcome {
  std::uint64_t digest = 0;     // of the state after the step (E8)
  std::uint64_t exponents = 0;  // digest of those in force for the next step
  double loss = 0;              // mean nats a token
  double grad_norm = 0;
  double learning_rate = 0;
  bool clipped = false;
  bool skipped = false;
  std::int64_t tokens = 0;
  // Of a skipped step, for people: the first tensor at fault and what it had (E5).
  std::string offence;
  // With an audit: what every slot of the step read, whoever computed it.
  std::vector<std::pair<api::Slot, std::vector<std::uint64_t>>> samples;
};

// As SlotWork has them; both may be null.
struct SlotHooks {
  std::function<void()> in_mid_slot;
  std::function<void(const ReadyPart&)> part_ready;
};

struct TrainerOptions {
  api::TrainingJobSpec spec;
  std::unique_ptr<Engine> engine;
  const data::Dataset* dataset = nullptr;  // outlives the trainer
  bool audit = false;                      // sample ids ride in the reduction
  base::Step saturate{-1};                 // test hook: this step's first attempt saturates
};

class Trainer {
 public:
  explicit Trainer(TrainerOptions options);
  ~Trainer();

  const model::Layout& layout() const { return engine().layout(); }
  const StateHeader& header() const { return header_; }
  // What the state is copied from for a checkpoint, and restored into (OpenState, CloseState).
  Engine& engine() const { return *options_.engine; }

  // The initial state: step 0, weights from the seed, moments zero. Returns its digest.
  std::uint64_t MakeFresh();
  // The same with the weights and zero moments that somebody has put into the engine.
  std::uint64_t BeginFromEngine();
  // After a restore filled the engine's vectors: takes the header, returns the digest.
  std::uint64_t AdoptHeader(const StateHeader& header);

  // A joiner's or laggard's state arrives in buffers that are void at that moment (M6);
  // AdoptReceived makes it the state once the digest agreed. Voids the sums.
  std::vector<std::span<std::byte>> ReceiveRegions(bool keep_state) {
    return engine().ReceiveRegions(keep_state);
  }
  // DataLoss when the digest of what arrived is not `expected`; a state that was to be kept is then
  // untouched.
  absl::StatusOr<std::uint64_t> AdoptReceived(const std::string& header_bytes,
                                              std::uint64_t expected);
  // Digest of the exponents that the next step begins with.
  std::uint64_t ExponentsInForce() const;

  // Empties the sums and tags them. With an attempt > 0 the exponents of the last FinishReduction
  // apply.
  void ClearSums(const api::SumTag& tag);
  // Launch ahead: up to slots_in_flight() slots of the tag's step may be begun and not finished. One
  // counts as added, whole, when it is finished (M4).
  std::size_t slots_in_flight() const { return engine().slots_in_flight(); }
  void BeginSlot(api::Slot slot, const SlotHooks& hooks = {});
  // Of the first that was begun. Returns the sample ids that were read.
  std::vector<std::uint64_t> FinishSlot();
  // One after the other.
  std::vector<std::uint64_t> AddSlot(api::Slot slot,
                                     const std::function<void()>& in_mid_slot = nullptr) {
    BeginSlot(slot, {in_mid_slot, nullptr});
    return FinishSlot();
  }
  // How often a slot was computed, counted where it happens (E10).
  std::int64_t slots_computed() const { return slots_computed_; }

  // The sums first, in as many parts as they are reduced in, then the rest. on_device: the communicator
  // of the sums reaches the engine's device; the rest is the host's.
  std::vector<ReduceVector> PrepareReduction(const ControlWord& control, bool on_device = false);
  ReduceOutcome FinishReduction();
  ApplyOutcome Apply(base::Step step);

  // Held-out loss: batches rank, rank + size, ... of the held-out part; {loss in fixed point,
  // tokens, batches whose loss is not finite}, to be summed over the members.
  std::vector<std::int64_t> EvaluateShare(std::int32_t rank, std::int32_t size);
  // Mean nats a token; NaN when any batch's loss was not finite, 0 without a held-out part.
  static double HeldOutLoss(std::span<const std::int64_t> reduced);

 private:
  std::uint64_t Digest(const StateFolds& folds, const StateHeader& header) const;
  // What a slot's tensors told, for its entry in the tail.
  struct SlotFlags {
    exact::QuantiseFlags flags;
    Offence offence;
  };
  SlotFlags Judge(const SlotTold& told, bool maxima_only);
  double SquaredNorm() const;  // of the mean gradient (E6)
  std::string DescribeOffence() const;
  std::uint64_t UpdatePass(const AdamWOptions& adam);
  std::vector<std::int32_t> ExponentsOfMaxima() const;

  TrainerOptions options_;
  api::Reduction reduction_;
  data::SampleOrder order_;

  StateHeader header_;

  api::SumTag tag_;            // of what the engine's sum holds
  std::vector<float> maxima_;  // Exact32: per tensor over this member's slots
  std::vector<std::int32_t> maxima_bits_, reduced_maxima_;
  std::vector<std::int32_t> exponents_;       // Exact32: in force for tag_
  std::vector<std::int32_t> redo_exponents_;  // of the reduction that saturated
  Tail tail_;
  std::vector<std::int64_t> wire_tail_, reduced_tail_;

  std::vector<std::int32_t> tokens_;
  struct Begun {
    api::Slot slot = 0;
    std::vector<std::uint64_t> ids;
  };
  std::deque<Begun> begun_;
  std::int64_t slots_computed_ = 0;
};

}  // namespace muster::train
