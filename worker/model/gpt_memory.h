// Where a GPT keeps the activations, gradients and scratch of one slot: one allocation, cut once.
//
// Nothing is allocated before Ensure(), so that a program can be asked for its scratch_bytes and be
// refused before anything is spent. Internal to worker/model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "worker/model/program.h"

namespace muster::model {

struct GptShape {
  std::int64_t layers = 0, heads = 0, width = 0, context = 0, batch = 0, vocabulary = 0;
  std::int64_t rows() const { return batch * context; }
  // Rows of logits start on a cache line.
  std::int64_t logit_stride() const { return (vocabulary + 15) / 16 * 16; }
};

class GptMemory {
 public:
  explicit GptMemory(const GptShape& shape);
  // Allocates on the first call.
  void Ensure();

  // What the way back needs of one block.
  struct Block {
    float* input = nullptr;  // the residual stream before it
    float *norm1 = nullptr, *mean1 = nullptr, *rstd1 = nullptr;
    float *qkv = nullptr, *probabilities = nullptr, *attended = nullptr;
    float* middle = nullptr;  // the residual stream between attention and MLP
    float *norm2 = nullptr, *mean2 = nullptr, *rstd2 = nullptr;
    float *up = nullptr, *gelu = nullptr;
    float* output = nullptr;  // the next block's input
  };
  std::vector<Block> blocks;
  float* embedded = nullptr;  // the first block's input
  float* last = nullptr;      // the last block's output
  float *final_norm = nullptr, *final_mean = nullptr, *final_rstd = nullptr;
  float* logits = nullptr;  // ... and their gradient
  // Gradients of activations, shared by all blocks.
  float *d_residual = nullptr, *d_branch = nullptr, *d_norm = nullptr;
  float *d_qkv = nullptr, *d_up = nullptr, *d_scores = nullptr;
  // Gradients of tensors: the matrix and the vectors in work, and the tied embedding until the end.
  float *d_matrix = nullptr, *d_vector = nullptr, *d_vector2 = nullptr, *d_embedding = nullptr;
  std::vector<double> losses;  // a row each

  std::int64_t bytes() const;

 private:
  void Cut();
  float* Take(std::int64_t floats);

  struct Free {
    void operator()(float* p) const { ::operator delete[](p, std::align_val_t{kAlignment}); }
  };
  static constexpr std::size_t kAlignment = 4096;
  const GptShape shape_;
  std::unique_ptr<float[], Free> data_;  // null while sizes are counted
  std::int64_t used_ = 0;                // floats
};

}  // namespace muster::model
