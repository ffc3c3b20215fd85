// Reads a checkpoint that the record names, whole and checked, at any number of parts.
//
// Blocking I/O, one thread a call. A checkpoint is believed when its manifest has the digest that
// the record names and every part the checksum that the manifest names; otherwise the status is
// DataLoss and names the file and what is wrong with it (missing, truncated, altered).
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "operator/api/view.h"
#include "operator/base/status.h"
#include "worker/checkpoint/manifest.h"

namespace muster::checkpoint {

// Where the state goes; each span holds all parameters. After an error their contents are void.
struct StateBuffers {
  std::span<float> weights;
  std::span<float> adam_m;
  std::span<float> adam_v;
};

absl::StatusOr<Manifest> LoadManifest(const std::string& dir, const api::CheckpointRef& ref);

// `progress` counts up with every element read; null: nobody wants to know.
absl::StatusOr<ManifestHeader> LoadCheckpoint(const std::string& dir, const api::CheckpointRef& ref,
                                              const StateBuffers& out,
                                              std::atomic<std::uint64_t>* progress = nullptr);

}  // namespace muster::checkpoint
