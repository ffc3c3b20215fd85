// The engine of a GPU: vectors in its memory, passes by the kernels of worker/cuda, which give the
// bits of the CPU's.
//
// Memory of the device a parameter: as the host's engine (host_engine.h), less the gradient, which
// is the program's. Memory of the host, page-locked: two buffers of sums if the communicator works
// there, and a checkpoint's share of the state (device_state.h).
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "worker/device/context.h"
#include "worker/train/engine.h"

namespace muster::train {

// A program that computes slots on a device.
class DeviceProgram {
 public:
  // A tensor's gradient of the slot is in the device's memory, where it stays until this returns and
  // what was launched by then is done.
  using Finished = std::function<void(std::size_t tensor, const float* device_gradient)>;

  virtual ~DeviceProgram() = default;
  // The same program as the host sees it: layout, shapes, the weights of step 0.
  virtual const model::Program& host() const = 0;
  // Puts a slot on the context's stream, behind what is there, and returns before it is computed: of
  // how many tokens it is. Program::ComputeSlot has the rest. `finished` is called for each tensor
  // once, in a fixed order, before this returns; *device_loss becomes the sum of the losses. `tokens`
  // are read when this returns.
  virtual std::int64_t LaunchSlot(const float* device_weights, std::span<const std::int32_t> tokens,
                                  const model::SlotKey& key, const Finished& finished,
                                  double* device_loss) = 0;
  virtual model::SlotLoss Evaluate(const float* device_weights,
                                   std::span<const std::int32_t> tokens, std::int32_t rows) = 0;
};

// Of `spec` the reduction and the slots are read. `context` outlives the engine and is used by the
// program as well; a fault of the device ends the process (worker/device/context.h).
std::unique_ptr<Engine> MakeDeviceEngine(const api::TrainingJobSpec& spec, device::Context& context,
                                         std::unique_ptr<DeviceProgram> program);

}  // namespace muster::train
