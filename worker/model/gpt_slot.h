// One slot of a GPT on its way forward and back. Internal to worker/model.
#pragma once

#include <cstdint>
#include <span>

#include "worker/model/gpt_layout.h"
#include "worker/model/gpt_memory.h"
#include "worker/model/layers.h"
#include "worker/model/program.h"
#include "worker/model/random.h"

namespace muster::model {

// What a pass works on. All of it outlives the pass.
struct GptPass {
  const GptShape& shape;
  const Layout& layout;
  Device& device;
  GptMemory& memory;
  std::span<const float> weights;
  std::span<const std::int32_t> tokens;  // batch x (context + 1)
  double dropout = 0;
  SlotKey key;

  const float* tensor(std::size_t index) const {
    return weights.data() + layout.tensors[index].offset;
  }
  const float* tensor(std::int64_t layer, BlockTensor t) const {
    return tensor(BlockIndex(layer, t));
  }
  std::int32_t token(std::int64_t row) const {
    return tokens[static_cast<std::size_t>(row / shape.context * (shape.context + 1) +
                                           row % shape.context)];
  }
  std::int32_t target(std::int64_t row) const {
    return tokens[static_cast<std::size_t>(row / shape.context * (shape.context + 1) +
                                           row % shape.context + 1)];
  }
  // Operations are numbered for dropout: 0 the embedding, then two a block (attention, MLP).
  SlotRandom Random(std::int64_t operation) const;

  Linear LinearOf(std::int64_t layer, BlockTensor weight, std::int64_t in, std::int64_t out) const;
  Norm NormOf(std::size_t gain) const;
  Attention AttentionShape() const {
    return {shape.batch, shape.context, shape.heads, shape.width};
  }
};

// Forward. With gradient_scale > 0 the logits are replaced by their gradient times it, else only
// the losses of the first `rows` rows are made. Returns the sum of losses of those rows.
double Forward(const GptPass& pass, float gradient_scale, std::int64_t rows);

// Back from the logits' gradient; each tensor goes to the sink once, the tied embedding last.
void Backward(const GptPass& pass, GradientSink& sink);

}  // namespace muster::model
