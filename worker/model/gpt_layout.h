// GPT-2's parameters in one flat vector: names, shapes and order as in Hugging Face's GPT-2.
//
// Matrices of layers are Conv1D matrices, [in, out]. The output head is wte, tied. Pure.
#pragma once

#include <cstdint>

#include "operator/api/training_job.h"
#include "worker/model/program.h"

namespace muster::model {

// Tensors of one block, in the layout's order.
enum class BlockTensor {
  kNorm1Gain,
  kNorm1Bias,
  kQkvWeight,
  kQkvBias,
  kAttentionWeight,
  kAttentionBias,
  kNorm2Gain,
  kNorm2Bias,
  kUpWeight,
  kUpBias,
  kDownWeight,
  kDownBias
};
inline constexpr std::size_t kBlockTensors = 12;

// Indices into Layout::tensors.
inline constexpr std::size_t kTokenEmbedding = 0;
inline constexpr std::size_t kPositionEmbedding = 1;
constexpr std::size_t BlockIndex(std::int64_t layer, BlockTensor tensor) {
  return 2 + static_cast<std::size_t>(layer) * kBlockTensors + static_cast<std::size_t>(tensor);
}
constexpr std::size_t FinalNormGain(std::int64_t layers) {
  return BlockIndex(layers, BlockTensor::kNorm1Gain);
}

Layout MakeGptLayout(const api::ProgramConfig& config);

}  // namespace muster::model
