// Slots that a device has been given and nobody has looked at: where each tells what its gradients
// were, so that the next one is launched before this one is done.
//
// On the device there is one place for what is told: a slot's copy to the host stands on the stream
// before the next slot's begin. On the host each slot in flight has a page-locked one of its own.
// Thread rule: the context's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "worker/device/context.h"
#include "worker/device/staging.h"
#include "worker/train/engine.h"

namespace muster::train {

class SlotFlights {
 public:
  SlotFlights(device::Context& context, std::size_t tensors);

  static constexpr std::size_t kMost = MUSTER_CUDA_SLOTS_AHEAD;

  // Empties the place on the device. At most kMost may be begun and not finished.
  void Begin();
  MusterCudaTold* told(std::size_t tensor) const {
    return told_.as<MusterCudaTold>(static_cast<std::int64_t>(tensor));
  }
  double* loss() const { return reinterpret_cast<double*>(told(tensors_)); }
  // All of the slot is on the stream. maxima_only: its flags say nothing.
  void Launched(std::int64_t tokens, bool maxima_only);

  // Waits for the first that was begun.
  SlotTold Finish();

 private:
  struct Flight {
    device::HostMemory told;  // as told_
    device::Event done;
    std::int64_t tokens = 0;
    bool maxima_only = false;
  };

  device::Context& context_;
  const std::size_t tensors_;
  device::Memory told_;  // one entry a tensor, then the loss
  std::array<Flight, kMost> flights_;
  std::size_t begun_ = 0, finished_ = 0;
};

}  // namespace muster::train
