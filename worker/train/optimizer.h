// AdamW with decoupled weight decay, element by element (E7): the same bits on every member, for
// every thread count and every cut of the vectors into blocks.
//
// The caller walks over the vectors in blocks of its choice and folds its digest in the same pass.
// Thread rule: blocks that do not overlap may be updated at the same time.
#pragma once

#include <cstdint>
#include <span>

#include "worker/kernels/table.h"

namespace muster::train {

struct AdamWOptions {
  double learning_rate = 1e-3;  // of this step, as the schedule says
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0;  // of this tensor; 0 where Tensor::decay is false
  double clip_factor = 1;   // what every gradient is multiplied with (ClipFactor)
  std::int64_t update = 1;  // Adam's update count including this one: state, not the step number
};

// The options as the floats that the pass uses. Computed once a step and kind of tensor, in double.
using AdamWParams = kernels::AdamWConstants;

AdamWParams MakeAdamWParams(const AdamWOptions& options);

// One pass over a block; all spans have one length. A NaN in the gradient reaches w, m and v.
void AdamWBlock(const AdamWParams& params, std::span<const float> gradient, std::span<float> w,
                std::span<float> m, std::span<float> v);

// What brings a gradient of `norm` down to `limit`: 1 when it is within or when limit is 0 (off).
double ClipFactor(double norm, double limit);

}  // namespace muster::train
