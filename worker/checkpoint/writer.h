// Writes a checkpoint: each member its part, then one of them the manifest over all parts.
//
// Blocking I/O; call it from a thread that training does not wait for, on a copy of the state
// (M14). Every file is written under a temporary name, synced, renamed inside the folder that
// carries step and epoch, and its folder synced. Nothing here commits a checkpoint: the record
// does. A file that cannot be finished is removed; when the disk is full the status is
// ResourceExhausted and says "No space left".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "worker/checkpoint/manifest.h"
#include "worker/model/program.h"

namespace muster::checkpoint {

// One member's slice: the spans hold the elements of PartSlice(parameters, rank, size).
struct PartContent {
  base::Step step;
  base::Epoch epoch;
  std::int32_t rank = 0;
  std::int32_t size = 1;
  std::int64_t parameters = 0;  // of the whole state
  std::span<const float> weights;
  std::span<const float> adam_m;
  std::span<const float> adam_v;
};

// Returns the part's JSON for api::CheckpointPart::part_json.
absl::StatusOr<std::string> WritePart(const std::string& dir, const PartContent& part);

struct ManifestResult {
  std::string digest;          // hex SHA-256 of manifest.json: what the record names
  std::string weights_digest;  // hex SHA-256 of model.safetensors; empty unless final
};

// The manifest over all parts, in the order of their ranks (parts_json as WritePart returned them).
// Each part must lie in the folder with the size it was reported with. `final` also exports
// model.safetensors (names and shapes of `layout`, F32) and config.json, reading the parts back
// against their checksums.
absl::StatusOr<ManifestResult> WriteManifest(const std::string& dir, const ManifestHeader& header,
                                             const std::vector<std::string>& parts_json, bool final,
                                             const model::Layout& layout,
                                             const api::ProgramSpec& program);

}  // namespace muster::checkpoint
