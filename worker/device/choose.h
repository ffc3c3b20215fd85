// Which device a member trains on, decided from what was asked for and what was found.
//
// `auto` takes a GPU that serves, and the CPU where there is none: no driver, or one that shows no
// GPU. A GPU that is there and does not serve it refuses, as `cuda` does: a job that went on with
// the CPU would be many times slower, and nobody would look for what is broken. A refusal is one
// sentence that names what was found and what is allowed. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "operator/api/messages.h"
#include "operator/api/training_job.h"
#include "worker/device/findings.h"

namespace muster::device {

using api::DeviceRequest;

// What CUDA 13.0 asks of a driver (version 580 is the first that has it) and what the module's
// oldest code runs on.
inline constexpr int kLeastCudaVersion = 13000;
inline constexpr int kLeastMajor = 8;

struct Needs {
  std::int64_t bytes = 0;  // of the device: DeviceBytes(...).total()
  int process = 0;         // of the pod, from 0: each has a GPU of its own
  bool share = false;      // processes beyond the GPUs take them in turn: for tests
};

struct UseCpu {
  std::string reason;
  friend bool operator==(const UseCpu&, const UseCpu&) = default;
};
struct UseGpu {
  int ordinal = 0;
  std::string reason;
  friend bool operator==(const UseGpu&, const UseGpu&) = default;
};
struct Refusal {
  api::ExitCode code = api::ExitCode::kNoDevice;  // docs/exit-codes.md
  std::string sentence;
  friend bool operator==(const Refusal&, const Refusal&) = default;
};
using Choice = std::variant<UseCpu, UseGpu, Refusal>;

// The first fault in this order decides: driver, its version, GPUs, architecture, module, memory,
// too few GPUs for the pod's processes.
Choice Choose(DeviceRequest request, const DriverFindings& driver, const ModuleFindings& module,
              const Needs& needs);

}  // namespace muster::device
