// Asks a Python where the nvidia.nccl wheel lies. Private to this folder.
#pragma once

#include <string>

#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::nccl {

// The wheel's libnccl.so.2. NotFound with the reason; the child is killed when `wait` has passed.
absl::StatusOr<std::string> AskPython(const std::string& python, base::Duration wait);

}  // namespace muster::nccl
