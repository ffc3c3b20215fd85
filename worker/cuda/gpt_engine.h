// One slot of a GPT on its way forward and back, as launches on one stream. Only for the module's
// own sources.
//
// What a pass launches depends on the shape and on addresses alone: tokens, their order and dropout's
// key are read from the device (GptBuffers::in), so the launches of one slot fit all others too.
//
// A pass keeps the sentence of its first failure. After it nothing is finished, and what is still
// launched is of no account. Thread rule: the context's.
#pragma once

#include <cstdint>

#include "worker/cuda/gpt_plan.h"
#include "worker/cuda/kernels_gpt.h"
#include "worker/cuda/matmul.h"

namespace muster::cuda {

class GptRecorder;

// What a pass works on. All of it outlives the pass.
struct GptPass {
  const GptShape& shape;
  const GptBuffers& memory;
  Multiplier& multiplier;
  Attention& attention;
  cudaStream_t stream;
  const float* weights;  // of the device, flat
  double dropout;
  MusterCudaFinished finished;
  void* user;
  MusterCudaText message;
  GptRecorder* recorder = nullptr;  // whom a finished tensor is told instead (gpt_graphs.h)
  std::int32_t failed = 0;

  // Operations are numbered for dropout: 0 the embedding, then two a block (attention, MLP).
  Dropout DropoutOf(std::int64_t operation) const {
    return MakeDropout(&memory.in.numbers->dropout, operation, dropout);
  }
  const float* tensor(std::int32_t index) const {
    return weights + shape.offsets[static_cast<std::size_t>(index)];
  }
  const Bf16* copy(std::int32_t index) const { return memory.weights + shape.copy_offset(index); }
  Embedding EmbeddingOf() const;
  AttentionPass AttentionOf(const GptBuffers::Block& b) const;

  // Each keeps the first failure.
  void Launched(const char* name, cudaError_t error);
  void Multiply(const Product& product);
  void Attend(const GptBuffers::Block& b);
  void AttendBackward(const GptBuffers::Block& b);
  void Finish(std::int32_t tensor, const float* gradient);
};

// Forward over all rows. With gradient_scale > 0 also the head's way back: d_norm and the head's
// part of d_words are made.
void Forward(GptPass& pass, float gradient_scale);
// *sum = the losses of the first rows.
void SumLosses(GptPass& pass, std::int64_t rows, double* sum);

// From d_norm back; each tensor is finished once, the tied embedding last.
void Backward(GptPass& pass);

}  // namespace muster::cuda
