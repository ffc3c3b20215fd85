// The NVIDIA driver as a library of this machine: is it there, how new is it, which GPUs has it.
//
// The program is not linked with it and has no header of CUDA, so that one program serves machines
// with and without GPUs; the few functions are declared here by hand and looked up by name.
// Thread rule: one thread. Opening it starts threads of the driver's own, so it stays loaded until
// the process ends.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "operator/base/status.h"
#include "worker/device/findings.h"

namespace muster::device {

inline constexpr char kDriverLibrary[] = "libcuda.so.1";

class GpuDriver {
 public:
  virtual ~GpuDriver() = default;
  // The newest CUDA that it supports: 13000 is 13.0.
  virtual absl::StatusOr<int> CudaVersion() = 0;
  // In the driver's order; empty when it works and has none.
  virtual absl::StatusOr<std::vector<Gpu>> Gpus() = 0;
};

// NotFound when there is no such library, FailedPrecondition when it cannot be loaded or lacks a
// function.
absl::StatusOr<std::unique_ptr<GpuDriver>> OpenGpuDriver(const std::string& library);

// A driver that is too old is not asked for its GPUs: what it answers is of no use.
DriverFindings AskDriver(GpuDriver& driver);
DriverFindings LookForGpus(const std::string& library = kDriverLibrary);

}  // namespace muster::device
