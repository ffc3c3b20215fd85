// The built-in GPT on a GPU: worker/cuda's engine behind the interface of a device's program.
//
// Thread rule: the context's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "worker/cuda/module.h"
#include "worker/device/context.h"
#include "worker/train/device_engine.h"

namespace muster::train {

// Bytes of the device that a slot of this job takes beside state and sums: activations, gradients,
// scratch. InvalidArgument names a size that a GPU's engine does not have.
absl::StatusOr<std::int64_t> DeviceGptBytes(const MusterCudaModule& module,
                                            const api::ProgramConfig& config);

// What the module is told of a job's config, without a table and without graphs. `products` is one of
// MUSTER_CUDA_PRODUCTS_*.
MusterCudaGptConfig GptConfigOf(const api::ProgramConfig& config, std::int32_t products);

struct DeviceGptOptions {
  bool graphs = true;  // slots are launched as CUDA graphs where that can be; the bits are the same
  // Told once, where slots have to go without graphs.
  std::function<void(const std::string& sentence)> warn;
};

// Who computes attention (MUSTER_CUDA_ATTENTION_*): the build's choice, and of the job's shape alone.
// What cuDNN is asked for it must then do: there is no way back to our own kernels, which would
// give other bits than the other members' cuDNN.
std::int32_t AttentionFor(bool built_with_cudnn, std::int64_t context);

// cuBLASLt multiplies where it is found, else kernels of our own; `products` tells which, and what
// computes attention where we do not, for what all members have to share: "cuBLASLt 130002", with the
// hash of the job's table where it has one, or "own products", or "own products, cuDNN 91300 with
// engines 2.0 and 2.0". With a table cuBLASLt must be there.
// `host` is the same program for this machine's processors, of which layout, shapes and weights of
// step 0 are used. `context` outlives what is made. Errors: DeviceGptBytes', InvalidArgument where the
// table cannot be read, or Unavailable with the module's sentence.
absl::StatusOr<std::unique_ptr<DeviceProgram>> MakeDeviceGpt(device::Context& context,
                                                             const api::ProgramConfig& config,
                                                             std::unique_ptr<model::Program> host,
                                                             const DeviceGptOptions& options,
                                                             std::string* products);

}  // namespace muster::train
