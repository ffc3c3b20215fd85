// The seam of attention: what a slot asks for, and who can compute it.
//
// Two can: kernels of our own (kernels_gpt_attention.cu), which need no library, and cuDNN's fused
// attention with its deterministic way back (cudnn_attention.h), which is looked for at run time.
// Who does it is said when the engine is made: by the build and by the job's shape, which all
// members share, and never by timing (E3). Thread rule: an attention belongs to one thread and one
// stream.
#pragma once

#include <cstdint>
#include <memory>

#include "worker/cuda/bf16.h"
#include "worker/cuda/module.h"

namespace muster::cuda {

// Causal attention over qkv [batch x context, 3 width]. The size of a head is a multiple of 16 up
// to 128. `lse`: log of the sum of exponentials, batch x heads x context.
struct AttentionPass {
  std::int64_t batch = 0, context = 0, heads = 0, width = 0;
  const Bf16* qkv = nullptr;
  Bf16* out = nullptr;
  float* lse = nullptr;
  // Backward.
  const Bf16* d_out = nullptr;
  float* d_dot = nullptr;  // as lse: row sums of d_out x out
  Bf16* d_qkv = nullptr;
};

class Attention {
 public:
  virtual ~Attention() = default;
  // Both enqueue. 0, or 1 and a sentence. Backward takes Forward's out and lse.
  virtual std::int32_t Forward(void* stream, const AttentionPass& pass, MusterCudaText message) = 0;
  virtual std::int32_t Backward(void* stream, const AttentionPass& pass,
                                MusterCudaText message) = 0;
  // What members must share of it: a library's name, version and choice; empty of our own kernels.
  virtual const char* identity() const { return ""; }
};

}  // namespace muster::cuda
