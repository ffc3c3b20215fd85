// The built-in `bench`: so many bytes of state and so much processor time per slot, for
// measurements.
//
// Gradients depend on (seed, step, slot, element) and on the weights, so that a wrong weight, slot
// or step shows in the digest. The time is real arithmetic, measured by the thread's own
// clock; its result is thrown away and never reaches the state.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/model/program.h"

namespace muster::model {

class Bench final : public Program {
 public:
  explicit Bench(const api::ProgramConfig& config);

  const Layout& layout() const override { return layout_; }
  std::int32_t sample_tokens() const override { return 0; }
  std::int32_t samples_per_slot() const override { return batch_; }
  std::int64_t scratch_bytes() const override {
    return 2 * layout_.parameters * static_cast<std::int64_t>(sizeof(float));
  }
  void Initialise(std::uint64_t seed, std::span<float> weights) const override;
  // The loss is the mean over parameters of half the squared distance to fixed targets; the
  // gradient is that distance with noise of the slot. One token a slot.
  SlotLoss ComputeSlot(std::span<const float> weights, std::span<const std::int32_t> tokens,
                       const SlotKey& key, GradientSink& sink) override;
  SlotLoss Evaluate(std::span<const float> weights, std::span<const std::int32_t> tokens,
                    std::int32_t rows) override;

 private:
  void MakeBuffers();
  void FillGradient(std::span<const float> weights, const SlotKey& key);
  double Loss(std::span<const float> weights) const;

  std::int32_t batch_ = 1;
  double slot_milliseconds_ = 0;
  Layout layout_;
  std::vector<float> targets_;
  std::vector<float> gradient_;
};

}  // namespace muster::model
