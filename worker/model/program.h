// A built-in program: what is trained. Parameters are one flat float vector cut into named tensors.
//
// A Program computes one slot at a time, always with the same shapes and kernels (E3), and hands
// each tensor's gradient out once it is finished. It has no state that outlives a slot. One thread
// calls it; inside it may use its own threads over a fixed tile grid.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/status.h"

namespace muster::model {

struct Tensor {
  std::string name;  // as in the exported model.safetensors
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;  // into the flat parameter vector
  std::int64_t size = 0;
  bool decay = false;  // weight decay applies (matrices, not biases and norms)
};

struct Layout {
  std::vector<Tensor> tensors;  // ascending, without holes
  std::int64_t parameters = 0;
};

// Receives gradients of one slot: each tensor exactly once, in any fixed order.
// The gradient is that of the mean loss over the slot's tokens; slots are not divided by M (E4).
class GradientSink {
 public:
  virtual ~GradientSink() = default;
  virtual void Finished(std::size_t tensor, std::span<const float> gradient) = 0;
};

// What randomness is keyed by (E2).
struct SlotKey {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::int32_t slot = 0;
};

// Sum over the slot's tokens of the loss in nats, in a fixed order; not finite when the model
// diverged.
struct SlotLoss {
  double sum = 0;
  std::int64_t tokens = 0;
};

class Program {
 public:
  virtual ~Program() = default;
  virtual const Layout& layout() const = 0;
  // Tokens of one sample (gpt: context + 1; bench: 0) and samples of one slot (B).
  virtual std::int32_t sample_tokens() const = 0;
  virtual std::int32_t samples_per_slot() const = 0;
  // Bytes of activations and scratch, for the memory count before joining.
  virtual std::int64_t scratch_bytes() const = 0;
  virtual void Initialise(std::uint64_t seed, std::span<float> weights) const = 0;
  // tokens: samples_per_slot() x sample_tokens(), row by row.
  virtual SlotLoss ComputeSlot(std::span<const float> weights, std::span<const std::int32_t> tokens,
                               const SlotKey& key, GradientSink& sink) = 0;
  // Forward only, no dropout, over samples_per_slot() rows of the same shape; `rows` of them count.
  virtual SlotLoss Evaluate(std::span<const float> weights, std::span<const std::int32_t> tokens,
                            std::int32_t rows) = 0;
};

// threads: how many threads the program may use. InvalidArgument names the field of program.config.
absl::StatusOr<std::unique_ptr<Program>> MakeProgram(const api::ProgramSpec& spec, int threads);

}  // namespace muster::model
