// What a GPT on a GPU is made of, before any GPU is touched: where its tensors lie in the flat
// weights, and how one piece of device memory is cut into activations, gradients and scratch.
//
// Everything a slot needs is in that piece; a slot allocates nothing on the device. Activations are
// bfloat16. Recompute levels: 0 keeps all that the way back needs; 1 makes GELU's output again; 2
// makes the norms' outputs again too. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/cuda/bf16.h"
#include "worker/cuda/cudnn_graph.h"
#include "worker/cuda/module.h"
#include "worker/cuda/slot_random.h"

namespace muster::cuda {

cudnn::AttentionShape AttentionShapeOf(const MusterCudaGptConfig& config);

// 0, or 1 and a sentence that names field, value and what is allowed.
std::int32_t CheckGptConfig(const MusterCudaGptConfig& config, MusterCudaText message);

// Tensors of one block, in the order of worker/model/gpt_layout.h.
enum class GptTensor {
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
inline constexpr std::int32_t kTokenTensor = 0;
inline constexpr std::int32_t kPositionTensor = 1;
constexpr std::int32_t BlockTensorIndex(std::int32_t layer, GptTensor tensor) {
  return 2 + layer * 12 + static_cast<std::int32_t>(tensor);
}

struct GptShape {
  explicit GptShape(const MusterCudaGptConfig& config);
  std::int64_t layers, heads, width, context, batch, vocabulary;
  std::int64_t rows;    // of a slot: batch x context
  std::int64_t padded;  // the vocabulary rounded up to 16: rows of the head's bfloat16 weights
  std::int64_t chunk;   // rows of logits at a time
  std::int32_t recompute;
  std::int32_t final_gain;  // index of the last norm's gain; its bias follows

  // Where tensors begin in the flat float weights, and at the end how long those are.
  std::vector<std::int64_t> offsets;
  std::int64_t size(std::int32_t tensor) const {
    return offsets[static_cast<std::size_t>(tensor) + 1] -
           offsets[static_cast<std::size_t>(tensor)];
  }
  std::int64_t parameters() const { return offsets.back(); }
  // Of the bfloat16 copy, in which rows of zeros follow the token embedding.
  std::int64_t copy_offset(std::int32_t tensor) const {
    const std::int64_t padding = tensor == kTokenTensor ? 0 : (padded - vocabulary) * width;
    return offsets[static_cast<std::size_t>(tensor)] + padding;
  }
};

// What a slot is given beside the weights. It lies alike on the host and on the device, in one piece,
// so one copy brings it there; kernels read it there, so the same launches fit every slot.
struct SlotInputs {
  struct Numbers {
    DropoutKey dropout;
    std::int32_t distinct = 0;  // tokens in the order
    std::int32_t unused = 0;
  };
  Numbers* numbers = nullptr;
  std::int32_t* tokens = nullptr;  // batch x (context + 1)
  std::int64_t forward_bytes = 0;  // up to here a forward pass needs them
  // token_order.h
  std::int32_t *rows = nullptr, *starts = nullptr, *words = nullptr;
  std::int64_t bytes = 0;
};
// With a null base it only counts. The base starts on 256 bytes.
SlotInputs CutSlotInputs(const GptShape& shape, void* base);

struct GptBuffers {
  // What the way back needs of one block. Where it is made again, blocks share one place.
  struct Block {
    Bf16* input = nullptr;  // the residual stream before it
    Bf16 *norm1 = nullptr, *qkv = nullptr, *attended = nullptr;
    Bf16* middle = nullptr;  // the residual stream between attention and MLP
    Bf16 *norm2 = nullptr, *up = nullptr, *gelu = nullptr;
    Bf16* output = nullptr;  // the next block's input
    float *mean1 = nullptr, *rstd1 = nullptr, *mean2 = nullptr, *rstd2 = nullptr, *lse = nullptr;
  };
  std::vector<Block> blocks;
  Bf16* weights = nullptr;  // the copy
  SlotInputs in;
  Bf16* embedded = nullptr;
  Bf16* last = nullptr;  // the last block's output
  Bf16* final_norm = nullptr;
  float *final_mean = nullptr, *final_rstd = nullptr;
  Bf16* branch = nullptr;  // a branch's output, later the gradient that enters one
  Bf16* logits = nullptr;  // of a chunk, and their gradient
  Bf16 *d_norm = nullptr, *d_qkv = nullptr, *d_up = nullptr;
  float *d_residual = nullptr, *d_dot = nullptr;
  // Gradients of tensors: the ones in work, and the token embedding until the end.
  float *d_matrix = nullptr, *d_vector = nullptr, *d_vector2 = nullptr, *d_words = nullptr;
  float* scratch = nullptr;             // of sums over rows
  double* losses = nullptr;             // a row each
  void* workspace = nullptr;            // cuBLASLt's; null without it
  void* attention_workspace = nullptr;  // cuDNN's; null without it
  std::int64_t bytes = 0;
};
// With a null base it only counts. The base starts on 256 bytes.
GptBuffers CutGptBuffers(const MusterCudaGptConfig& config, void* base);

}  // namespace muster::cuda
