#include "worker/model/gpt.h"

#include <algorithm>

#include "operator/base/check.h"
#include "worker/model/gpt_layout.h"
#include "worker/model/gpt_slot.h"
#include "worker/model/random.h"

namespace muster::model {
namespace {

constexpr double kDeviation = 0.02;  // GPT-2's initializer_range
constexpr std::int64_t kInitialBlock = 1 << 16;

GptShape ShapeOf(const api::ProgramConfig& config) {
  return {config.layers,  config.heads, config.width,
          config.context, config.batch, config.vocabulary};
}

bool EndsWith(const std::string& name, std::string_view end) { return name.ends_with(end); }

// Readers of data refuse tokens beyond the vocabulary; past them it would be a bug.
void CheckTokens(std::span<const std::int32_t> tokens, const GptShape& shape) {
  MUSTER_CHECK(static_cast<std::int64_t>(tokens.size()) == shape.batch * (shape.context + 1),
               "a slot has batch x (context + 1) tokens");
  for (std::int32_t token : tokens) {
    MUSTER_CHECK(token >= 0 && token < shape.vocabulary, "a token lies beyond the vocabulary");
  }
}

}  // namespace

Gpt::Gpt(const api::ProgramConfig& config, int threads)
    : config_(config),
      shape_(ShapeOf(config)),
      layout_(MakeGptLayout(config)),
      device_(threads),
      memory_(shape_) {}

void Gpt::Initialise(std::uint64_t seed, std::span<float> weights) const {
  MUSTER_CHECK(static_cast<std::int64_t>(weights.size()) == layout_.parameters,
               "the weights have the layout's size");
  // Residual projections are smaller, so that the stream's variance does not grow with depth.
  const double residual = kDeviation / __builtin_sqrt(2.0 * static_cast<double>(shape_.layers));
  for (std::size_t index = 0; index < layout_.tensors.size(); ++index) {
    const Tensor& tensor = layout_.tensors[index];
    const std::span<float> values = weights.subspan(static_cast<std::size_t>(tensor.offset),
                                                    static_cast<std::size_t>(tensor.size));
    if (tensor.shape.size() == 1) {
      std::ranges::fill(values, EndsWith(tensor.name, ".weight") ? 1.0f : 0.0f);
      continue;
    }
    const double deviation = EndsWith(tensor.name, "c_proj.weight") ? residual : kDeviation;
    device_.pool.For(kernels::Tiles(tensor.size, kInitialBlock), [&](std::int64_t block) {
      const std::int64_t first = block * kInitialBlock;
      const std::int64_t count = std::min(kInitialBlock, tensor.size - first);
      FillNormal(seed, index, first, deviation,
                 values.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
    });
  }
}

SlotLoss Gpt::ComputeSlot(std::span<const float> weights, std::span<const std::int32_t> tokens,
                          const SlotKey& key, GradientSink& sink) {
  CheckTokens(tokens, shape_);
  memory_.Ensure();
  const GptPass pass{shape_, layout_, device_, memory_, weights, tokens, config_.dropout, key};
  const std::int64_t rows = shape_.rows();
  const double sum = Forward(pass, 1.0f / static_cast<float>(rows), rows);
  Backward(pass, sink);
  return {sum, rows};
}

SlotLoss Gpt::Evaluate(std::span<const float> weights, std::span<const std::int32_t> tokens,
                       std::int32_t rows) {
  CheckTokens(tokens, shape_);
  memory_.Ensure();
  MUSTER_CHECK(rows >= 0 && rows <= shape_.batch, "an evaluation counts at most a slot's samples");
  const GptPass pass{shape_, layout_, device_, memory_, weights, tokens, 0.0, {}};
  const std::int64_t counted = rows * shape_.context;
  return {Forward(pass, 0.0f, counted), counted};
}

}  // namespace muster::model
