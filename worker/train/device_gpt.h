// The built-in GPT on a GPU: worker/cuda's engine behind the interface of a device's program.
//
// Thread rule: the context's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "worker/device/context.h"
#include "worker/train/device_engine.h"

namespace muster::train {

// Bytes of the device that a slot of this job takes beside state and sums: activations, gradients,
// scratch. InvalidArgument names a size that a GPU's engine does not have.
absl::StatusOr<std::int64_t> DeviceGptBytes(const MusterCudaModule& module,
                                            const api::ProgramConfig& config);

// cuBLASLt multiplies where it is found, else kernels of our own; `products` tells which, for what all
// members have to share: "cuBLASLt 130002", or "own products".
// `host` is the same program for this machine's processors, of which layout, shapes and weights of
// step 0 are used. `context` outlives what is made. Errors: DeviceGptBytes', or Unavailable with the
// module's sentence.
absl::StatusOr<std::unique_ptr<DeviceProgram>> MakeDeviceGpt(device::Context& context,
                                                             const api::ProgramConfig& config,
                                                             std::unique_ptr<model::Program> host,
                                                             std::string* products);

}  // namespace muster::train
