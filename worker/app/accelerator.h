// What a member computes on and reduces with: decided once, when the job is opened.
//
// A GPU takes the driver, the CUDA module, memory enough and, for the transport `nccl`, NCCL itself.
// What is asked for and not there is one sentence and an exit code (docs/gpu.md, docs/nccl.md).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "operator/api/messages.h"
#include "operator/api/training_job.h"
#include "worker/device/choose.h"
#include "worker/device/context.h"
#include "worker/nccl/library.h"
#include "worker/nccl/link.h"

namespace muster::app {

// Destroyed from the last to the first: NCCL's threads end before the context does.
struct Accelerator {
  std::string description = "cpu";           // api::Warm::device
  std::string reason;                        // why this one, for the log
  std::optional<double> peak_flops;          // device::PeakFlops
  std::unique_ptr<device::Context> context;  // null: the CPU
  device::Stream reduces;                    // NCCL's: the context's own goes on beside it
  device::Event done;
  std::unique_ptr<nccl::Library> library;
  std::unique_ptr<nccl::NcclApi> api;
  std::unique_ptr<nccl::Link> link;  // null: sums go by the ring
};

struct AcceleratorRequest {
  api::TrainingJobSpec spec;
  std::int64_t parameters = 0;
  int process = 0;            // of the pod, from 0: each takes a GPU of its own
  bool share_gpus = false;    // device::Needs::share
  std::string module_path;    // of libmuster_cuda.so
  bool module_named = false;  // by whoever started the worker: then it has to be there
  // Ends the process with this code; does not return. For faults of a device that was taken.
  std::function<void(api::ExitCode code, const std::string& sentence)> end;
};

// A Refusal's sentence and code, or what was taken. Blocking: a driver starts, libraries are loaded.
struct AcceleratorChoice {
  std::optional<device::Refusal> refusal;
  Accelerator taken;
  std::string reason;  // why this one, for the log
};
AcceleratorChoice TakeAccelerator(const AcceleratorRequest& request);

// `asked`, or lib/libmuster_cuda.so beside the folder of this program.
std::string ModulePath(const std::string& asked);

}  // namespace muster::app
