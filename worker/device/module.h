// libmuster_cuda.so as the program sees it: loaded by its path, and refused when it is not of the
// program's own build.
//
// Thread rule: one thread loads it; the table that it gives is constant. It is not unloaded: the
// driver's threads may run in it until the process ends.
#pragma once

#include <string>

#include "operator/base/status.h"
#include "worker/cuda/module.h"
#include "worker/device/findings.h"

namespace muster::device {

// NotFound when it is not there or cannot be loaded, FailedPrecondition when it is of another build
// or interface.
absl::StatusOr<const MusterCudaModule*> LoadModule(const std::string& path);

// The build that this program expects of a module.
std::string ExpectedModuleBuild();

// The same as a finding. The module serves when `loaded` is OK.
ModuleFindings FindingOf(const absl::StatusOr<const MusterCudaModule*>& loaded);

}  // namespace muster::device
