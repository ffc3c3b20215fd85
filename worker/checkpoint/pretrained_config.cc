// What lies around the weights: which file of a folder is meant, and what its config.json says.
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "worker/checkpoint/durable_file.h"
#include "worker/checkpoint/pretrained.h"

namespace muster::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr char kFile[] = "model.safetensors";

// An entry that changes what is computed, and the values that stand for what this program does.
struct Entry {
  const char* name;
  std::vector<nlohmann::json> taken;
};

std::vector<Entry> Entries(const api::ProgramConfig& config) {
  return {{"model_type", {"gpt2"}},
          {"n_head", {config.heads}},
          // Two names of one function.
          {"activation_function", {"gelu_new", "gelu_pytorch_tanh"}},
          {"layer_norm_epsilon", {1e-5}},
          {"n_inner", {nullptr, 4 * config.width}},
          {"scale_attn_weights", {true}},
          {"scale_attn_by_inverse_layer_idx", {false}},
          {"add_cross_attention", {false}}};
}

}  // namespace

absl::StatusOr<std::string> FindPretrained(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    return base::NotFound("cannot read " + path + ": " + base::ErrnoText(ENOENT));
  }
  if (error) return base::Unavailable("cannot read " + path + ": " + error.message());
  if (!fs::is_directory(status)) return path;
  const std::string file = (fs::path(path) / kFile).string();
  if (fs::exists(file, error)) return file;
  const bool shards = fs::exists(file + ".index.json", error);
  return base::NotFound("the folder " + path + " holds no " + kFile +
                        (shards
                             ? ", but shards of one; save it as one file (save_pretrained with a "
                               "larger max_shard_size)"
                             : ""));
}

absl::Status CheckPretrainedConfig(const std::string& file, const api::ProgramConfig& config) {
  const std::string path = fs::path(file).replace_filename("config.json").string();
  const absl::StatusOr<std::string> text = ReadSmallFile(path);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  MUSTER_RETURN_IF_ERROR(text.status());
  const auto said = nlohmann::json::parse(*text, nullptr, false);
  if (!said.is_object()) return base::DataLoss(path + " is no JSON object");
  for (const Entry& entry : Entries(config)) {
    if (!said.contains(entry.name)) continue;
    const nlohmann::json& value = said[entry.name];
    bool taken = false;
    std::string allowed;
    for (const nlohmann::json& one : entry.taken) {
      taken = taken || value == one;
      allowed += (allowed.empty() ? "" : " or ") + one.dump();
    }
    if (taken) continue;
    return base::InvalidArgument(path + ": " + entry.name + " is " + value.dump() +
                                 "; with this program.config it has to be " + allowed);
  }
  return absl::OkStatus();
}

}  // namespace muster::checkpoint
