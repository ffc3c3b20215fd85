// Weights in the order of the layout are the flat vector: the export is one pass over the parts.
#include "worker/checkpoint/export.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "worker/checkpoint/durable_file.h"
#include "worker/checkpoint/part_file.h"
#include "worker/checkpoint/safetensors.h"

namespace muster::checkpoint {
namespace {

// What transformers' GPT2Config needs to build the module that these weights fit.
std::string ConfigJson(const api::ProgramSpec& program) {
  nlohmann::ordered_json config;
  if (program.builtin == api::Builtin::kGpt) {
    config = {{"architectures", {"GPT2LMHeadModel"}},
              {"model_type", "gpt2"},
              {"vocab_size", program.config.vocabulary},
              {"n_positions", program.config.context},
              {"n_embd", program.config.width},
              {"n_layer", program.config.layers},
              {"n_head", program.config.heads},
              {"activation_function", "gelu_new"},
              {"layer_norm_epsilon", 1e-5},
              {"resid_pdrop", program.config.dropout},
              {"embd_pdrop", program.config.dropout},
              {"attn_pdrop", program.config.dropout},
              {"tie_word_embeddings", true},
              {"torch_dtype", "float32"}};
  } else {
    config = {{"model_type", "muster-bench"}};
  }
  return config.dump(2) + "\n";
}

}  // namespace

absl::StatusOr<std::string> ExportModel(const std::string& folder, const Manifest& manifest,
                                        const model::Layout& layout,
                                        const api::ProgramSpec& program) {
  std::vector<FloatTensor> tensors;
  for (const model::Tensor& tensor : layout.tensors) tensors.push_back({tensor.name, tensor.shape});
  MUSTER_ASSIGN_OR_RETURN(
      const std::unique_ptr<SafetensorsWriter> writer,
      SafetensorsWriter::Create(folder + "/model.safetensors", tensors, {{"format", "pt"}}));
  const TakeElements take = [&](StateVector vector, std::int64_t, std::span<const float> values) {
    return vector == StateVector::kWeights ? writer->Append(values) : absl::OkStatus();
  };
  for (const PartInfo& part : manifest.parts) {
    MUSTER_RETURN_IF_ERROR(ReadPartFile(folder, part, take));
  }
  MUSTER_ASSIGN_OR_RETURN(const FileDigest weights, writer->Finish());
  MUSTER_RETURN_IF_ERROR(WriteDurably(folder + "/config.json", ConfigJson(program)).status());
  return weights.sha256;
}

}  // namespace muster::checkpoint
