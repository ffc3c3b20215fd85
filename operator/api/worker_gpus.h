// How many GPUs a worker's pod asks for, as spec.workers.template says it. Values only.
#pragma once

#include <cstdint>

#include "operator/api/training_job.h"
#include "operator/base/status.h"

namespace muster::api {

// The extended resource of NVIDIA's device plugin. Others (slices of a GPU under names of their own,
// other makers) are the template's business alone.
inline constexpr char kGpuResource[] = "nvidia.com/gpu";

// Of the worker's own container (`worker`, else the first): its limit, else its request; 0: it asks
// for none. InvalidArgument names the field of a number that is not plain digits. A template that is no
// object with containers asks for none here; making a pod of it says what is wrong.
absl::StatusOr<std::int64_t> WorkerGpus(const WorkersSpec& workers);

}  // namespace muster::api
