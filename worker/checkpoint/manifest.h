// What a checkpoint is on disk: folder and file names, and the manifest as a value <-> JSON.
//
//   DIR/latest.json                      a copy of what the record names, for a later job
//   DIR/step-00000100-e3/manifest.json   its SHA-256 is the checkpoint's name in the record
//   DIR/step-00000100-e3/part-00000-of-00004.safetensors   one member's slice of weights, moments
//   DIR/step-00000300-e5/model.safetensors, config.json    beside the parts of the final state
//
// A name on disk proves nothing (M14): only a manifest whose digest the record names counts, and
// only parts whose checksums that manifest names. The manifest is a function of the state, the
// epoch and the cut into parts, so writing it twice in one epoch gives the same bytes. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/ids.h"
#include "operator/base/status.h"

namespace muster::checkpoint {

inline constexpr std::int32_t kFormatVersion = 1;

// One member's slice of the flat vectors: elements [begin, end) of `total` of each of weights,
// adam.m and adam.v.
struct PartInfo {
  std::string file;        // name inside the checkpoint's folder
  std::int64_t bytes = 0;  // of the file
  std::string sha256;      // of the file, hex
  std::int64_t begin = 0;
  std::int64_t end = 0;
  friend bool operator==(const PartInfo&, const PartInfo&) = default;
};

// All of the state that is not a large vector, and what the state may be resumed with.
struct ManifestHeader {
  base::Step step;    // number of committed steps in it
  base::Epoch epoch;  // of the view that wrote it
  std::string job_uid;
  std::uint64_t state_digest = 0;       // E8's
  std::int64_t update_count = 0;        // Adam's: steps that were not skipped
  std::vector<std::int32_t> exponents;  // Exact32: one per tensor; empty otherwise
  std::int64_t parameters = 0;
  std::string kernel_family;  // E3
  std::string build_id;
  std::string data_digest;
  friend bool operator==(const ManifestHeader&, const ManifestHeader&) = default;
};

// One named tensor of the flat vectors, so that a checkpoint can be read without the program.
struct TensorEntry {
  std::string name;
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;
  friend bool operator==(const TensorEntry&, const TensorEntry&) = default;
};

struct Manifest {
  ManifestHeader header;
  std::vector<TensorEntry> tensors;
  std::vector<PartInfo> parts;  // ascending, without holes, [0, parameters)
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

// Where member `rank` of `size` cuts the flat vectors: [rank * P / size, (rank + 1) * P / size).
struct Slice {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  friend bool operator==(const Slice&, const Slice&) = default;
};
Slice PartSlice(std::int64_t parameters, std::int32_t rank, std::int32_t size);

std::string FolderName(base::Step step, base::Epoch epoch);
std::string PartFileName(std::int32_t rank, std::int32_t size);
struct FolderId {
  base::Step step;
  base::Epoch epoch;
  friend auto operator<=>(const FolderId&, const FolderId&) = default;
};
// nullopt for a name that FolderName does not make: such a folder is not ours.
std::optional<FolderId> ParseFolderName(std::string_view name);

std::string PartInfoToJson(const PartInfo& part);
absl::StatusOr<PartInfo> PartInfoFromJson(const std::string& json);
std::string ManifestToJson(const Manifest& manifest);
// InvalidArgument says which field is missing or wrong. Also checks that the parts cover everything
// once.
absl::StatusOr<Manifest> ManifestFromJson(const std::string& json);
absl::Status CheckParts(const std::vector<PartInfo>& parts, std::int64_t parameters);

}  // namespace muster::checkpoint
