// A GPT-2's weights as others have saved them: a safetensors file with the names of Hugging Face's
// GPT-2.
//
// Taken are F32, F16 and BF16, each of which a float holds exactly; names with or without the
// prefix "transformer."; tensors in any order. Left out are the causal masks that old files hold
// (attn.bias, attn.masked_bias) and lm_head.weight, which has to be wte.weight again: the head is
// tied. Our own model.safetensors is such a file.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "worker/model/program.h"

namespace muster::checkpoint {

// The file that is meant: `path` itself, or model.safetensors in it when it is a folder. NotFound
// or Unavailable, with a sentence.
absl::StatusOr<std::string> FindPretrained(const std::string& path);

// Weights do not tell how they are to be used: their shapes are the same for any number of heads.
// Where a config.json lies beside `file`, as save_pretrained writes it, what it says of that has to
// be what this program computes. InvalidArgument names the entry; OK when there is none.
absl::Status CheckPretrainedConfig(const std::string& file, const api::ProgramConfig& config);

// Fills `weights` (layout.parameters of them) in the layout's order, and returns their identity:
// the hex SHA-256 of these floats, which is the same however a file orders or spells them. One
// thread; the file is never held in memory. `progress` grows meanwhile. NotFound or Unavailable: it
// cannot be read. DataLoss: it is no such file, or is cut short. InvalidArgument: a tensor is
// missing, is one that the model has not, or has another shape or element type, or an element that
// is not finite. Each names file and tensor; after an error `weights` is in no particular state.
absl::StatusOr<std::string> ReadPretrained(const std::string& file, const model::Layout& layout,
                                           std::span<float> weights,
                                           std::atomic<std::uint64_t>* progress = nullptr);

}  // namespace muster::checkpoint
