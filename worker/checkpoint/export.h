// The final state for the world outside: model.safetensors and config.json as Hugging Face names
// them.
#pragma once

#include <string>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "worker/checkpoint/manifest.h"
#include "worker/model/program.h"

namespace muster::checkpoint {

// Reads the parts of `manifest` in `folder` back, checks them, and writes both files beside them.
// Returns the hex SHA-256 of model.safetensors: a function of names, shapes and weights alone.
absl::StatusOr<std::string> ExportModel(const std::string& folder, const Manifest& manifest,
                                        const model::Layout& layout,
                                        const api::ProgramSpec& program);

}  // namespace muster::checkpoint
