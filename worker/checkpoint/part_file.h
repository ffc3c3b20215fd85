// One part on disk: three tensors (weights, adam.m, adam.v) of one slice of the flat vectors.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "operator/base/status.h"
#include "worker/checkpoint/manifest.h"
#include "worker/checkpoint/writer.h"

namespace muster::checkpoint {

enum class StateVector { kWeights, kAdamM, kAdamV };

// Receives a part's elements in order; `begin` is their place in the whole flat vector. What it was
// given may be believed only when ReadPartFile returned OK.
using TakeElements =
    std::function<absl::Status(StateVector vector, std::int64_t begin, std::span<const float>)>;

absl::StatusOr<PartInfo> WritePartFile(const std::string& folder, const PartContent& part);

// Streams a part in blocks of a few megabytes and compares its size and SHA-256 with `part`.
// DataLoss names the file and says missing, truncated or altered.
absl::Status ReadPartFile(const std::string& folder, const PartInfo& part,
                          const TakeElements& take);

}  // namespace muster::checkpoint
