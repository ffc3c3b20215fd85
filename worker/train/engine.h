// Where a trainer's vectors live, and every pass over them: on this machine's processors
// (host_engine.h), or on a device.
//
// An engine knows vectors and tensors; steps, slots' counters, exponents and what is agreed are the
// trainer's. P is the number of parameters. Vectors: weights and two moments (P floats each), `sum`
// (this member's slots) and `reduced` (everybody's), P elements of the reduction's type each.
// Reductions are out of place, so that an abort leaves `sum` whole (M4).
//
// Thread rule: one thread at a time; regions given out may be read or written by others until the
// next call that changes what they show.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "worker/exact/fixed_point.h"
#include "worker/model/program.h"
#include "worker/train/optimizer.h"

namespace muster::train {

// One integer (or float) vector to be reduced, in this order, by all members alike.
struct ReduceVector {
  enum class Kind { kInt64Sum, kInt32Sum, kFloatSum, kInt32Max };
  Kind kind = Kind::kInt64Sum;
  std::span<const std::byte> in;
  std::span<std::byte> out;
  bool on_device = false;  // addresses of a device's memory: for NCCL, not to be read here
};

// Of one tensor's gradient of one slot.
struct TensorTold {
  exact::QuantiseFlags flags;
  // The greatest |g|, a NaN beating everything: always with Exact32, otherwise only where the flags
  // say that something is wrong.
  float max_abs = 0;
};

struct SlotTold {
  model::SlotLoss loss;
  std::vector<TensorTold> tensors;  // by the layout's index
};

// How a slot's gradients become integers.
struct Quantising {
  // Exact32: one exponent a tensor. None: only the maxima are taken and nothing is added (E5).
  std::span<const std::int32_t> exponents;
};

// A part of the sums (sum_parts.h) of which nothing is left to be launched.
struct ReadyPart {
  ReduceVector vector;
  void* event = nullptr;  // of the device; done when `vector.in` is complete
  bool last = false;
};

struct SlotWork {
  std::span<const std::int32_t>
      tokens;  // as Program::ComputeSlot; read by the time BeginSlot returns
  model::SlotKey key;
  Quantising quantising;  // likewise
  // Both may be null, and are called by BeginSlot. Once, when the first gradient is there and nothing
  // has been added:
  std::function<void()> in_mid_slot;
  // For a slot that completes the sums: part after part in the order of Sums(true), so that the first
  // are reduced while the device computes the rest. Not called by an engine of the host.
  std::function<void(const ReadyPart&)> part_ready;
};

// The vectors of a state, P floats each, in this order everywhere.
enum class StateVector { kWeights, kMoment, kVariance };
inline constexpr std::size_t kStateVectors = 3;
using StateFolds = std::array<std::uint64_t, kStateVectors>;  // worker/exact/digest.h
using StateSpans = std::array<std::span<float>, kStateVectors>;

// Elements of each vector as they were when they were asked for, whatever becomes of the state.
class StateSlice {
 public:
  virtual ~StateSlice() = default;
  // Returns when they are there. Any thread; they live as long as this does.
  virtual std::array<std::span<const float>, kStateVectors> Await() = 0;
};

// What the update does to one tensor: its gradient is reduced x factor.
struct TensorUpdate {
  double factor = 0;
  AdamWParams adam;
};

class Engine {
 public:
  virtual ~Engine() = default;

  virtual const model::Program& program() const = 0;
  const model::Layout& layout() const { return program().layout(); }

  // The state of step 0: weights from the seed, moments zero.
  virtual void MakeFresh(std::uint64_t seed) = 0;
  virtual StateFolds Folds() = 0;
  // Memory of the host that a whole state is written to; CloseState makes it the state.
  virtual StateSpans OpenState() = 0;
  virtual void CloseState() = 0;
  // Elements [begin, begin + out.size()) of one vector.
  virtual void Copy(StateVector vector, std::size_t begin, std::span<float> out) = 0;
  // A share of the state for a checkpoint. What changes the state may be called at once, whether or
  // not anybody has awaited the slice. [begin, end) within the layout's parameters.
  virtual std::unique_ptr<StateSlice> CopySlice(std::int64_t begin, std::int64_t end) = 0;

  // Whether the regions below are addresses of a device's memory, not to be read here.
  virtual bool on_device() const { return false; }
  // Where the state lies, one region a vector. Any thread, while nothing changes it.
  virtual std::vector<std::span<const std::byte>> ServeRegions() const = 0;
  // As large as a vector, and of no use between an update and the next reduction. Any thread.
  virtual std::span<std::byte> VoidRegion() const = 0;

  // A state arrives in buffers that are void at that moment (M6): voids the sums. Then either
  // TakeReceived makes it the state, or DropReceived forgets it. Without `keep_state`, which is for
  // who has none, the state may be overwritten meanwhile.
  virtual std::vector<std::span<std::byte>> ReceiveRegions(bool keep_state) = 0;
  virtual StateFolds ReceivedFolds() = 0;
  virtual void TakeReceived() = 0;
  virtual void DropReceived() = 0;

  virtual void ClearSums() = 0;
  // Launch ahead: so many slots may be begun and not finished. Each that was begun is added whole, in
  // order, and counts once FinishSlot has said so; until none is left nothing else is asked of `sum`.
  virtual std::size_t slots_in_flight() const = 0;
  virtual void BeginSlot(const SlotWork& work) = 0;
  // Waits for the first that was begun.
  virtual SlotTold FinishSlot() = 0;
  virtual model::SlotLoss Evaluate(std::span<const std::int32_t> tokens, std::int32_t rows) = 0;

  // `sum` and `reduced`, complete: part by part where they are, for a communicator that reaches them,
  // or (always with the host's engine) as one in the host's memory.
  virtual std::vector<ReduceVector> Sums(bool on_device) = 0;
  // What was written to `reduced` there, as Sums was last asked, is what the passes below read.
  virtual void ReducedIsThere() = 0;
  // The linear checksum of `reduced`; 0 for floats, which have none (E8).
  virtual std::uint64_t ReducedChecksum() = 0;
  // Sum of (reduced x factor)^2: over everything, or over each tensor with its own factor (E6).
  virtual double SquareSum(double factor) = 0;
  virtual std::vector<double> SquareSums(std::span<const double> factors) = 0;
  // Dequantise, AdamW, digest in one pass (E7, E8); one entry a tensor. Folds of the new state.
  virtual StateFolds Update(std::span<const TensorUpdate> updates) = 0;
};

}  // namespace muster::train
