// GPT-2: learned positions, pre-LayerNorm blocks, causal attention, GELU (tanh form), tied
// embedding.
//
// Activations of one slot live in memory that is made once; the softmax of the logits overwrites
// them, and so does their gradient. One thread calls; `threads` of them compute (program.h).
#pragma once

#include <cstdint>
#include <span>

#include "worker/model/gpt_memory.h"
#include "worker/model/layers.h"
#include "worker/model/program.h"

namespace muster::model {

class Gpt final : public Program {
 public:
  // `config` was validated by MakeProgram.
  Gpt(const api::ProgramConfig& config, int threads);

  const Layout& layout() const override { return layout_; }
  std::int32_t sample_tokens() const override { return config_.context + 1; }
  std::int32_t samples_per_slot() const override { return config_.batch; }
  std::int64_t scratch_bytes() const override { return memory_.bytes(); }
  void Initialise(std::uint64_t seed, std::span<float> weights) const override;
  SlotLoss ComputeSlot(std::span<const float> weights, std::span<const std::int32_t> tokens,
                       const SlotKey& key, GradientSink& sink) override;
  SlotLoss Evaluate(std::span<const float> weights, std::span<const std::int32_t> tokens,
                    std::int32_t rows) override;

 private:
  const api::ProgramConfig config_;
  const GptShape shape_;
  const Layout layout_;
  mutable Device device_;  // Initialise only borrows its threads
  GptMemory memory_;
};

}  // namespace muster::model
