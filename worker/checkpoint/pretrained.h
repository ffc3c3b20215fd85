// A GPT-2's weights as others have saved them: a safetensors file with the names of Hugging Face's
// GPT-2.
//
// Taken are F32, F16 and BF16, each of which a float holds exactly; names with or without the
// prefix "transformer."; tensors in any order. Left out are the causal masks that old files hold
// (attn.bias, attn.masked_bias) and lm_head.weight, which has to be wte.weight again: the head is
// tied. Our own model.safetensors is such a file.
#pragma once

#include <span>
#include <string>

#include "operator/base/status.h"
#include "worker/model/program.h"

namespace muster::checkpoint {

// Fills `weights` (layout.parameters of them) in the layout's order. One thread; the file is never
// held in memory. NotFound or Unavailable: it cannot be read. DataLoss: it is no such file, or is
// cut short. InvalidArgument: a tensor is missing, is one that the model has not, or has another
// shape or element type, or an element that is not finite. Each names file and tensor; after an
// error `weights` is in no particular state.
absl::Status ReadPretrained(const std::string& path, const model::Layout& layout,
                            std::span<float> weights);

}  // namespace muster::checkpoint
