// Floating-point operations that training a model takes for one token, by the two formulas in use.
//
// Both count 6 for each parameter (a multiplication and an addition, once forward and twice
// backward) and add the attention's products with keys and values; recomputed activations,
// LayerNorm, softmax and the optimizer count nothing. They differ in the attention by a factor of
// two. A rate in one divided by a rate in the other says nothing, so a figure names its formula.
// Pure.
#pragma once

#include "operator/api/training_job.h"

namespace muster::model {

struct ModelFlops {
  // llm.c: 6 N + 6 L C T. A token attends to the half of the context that lies before it.
  double llmc = 0;
  // The appendix on MFU of the PaLM paper: 6 N + 12 L C T. It attends to all of it.
  double palm = 0;
  friend bool operator==(const ModelFlops&, const ModelFlops&) = default;
};

// N counts all parameters, the tied embedding once and those of positions too (nanoGPT leaves the
// latter out); L layers, C width, T context. Zeros for a program without a model of that kind.
ModelFlops FlopsPerToken(const api::ProgramSpec& program);

}  // namespace muster::model
