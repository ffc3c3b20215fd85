// The vectors of a state in a device's memory, and the ways into it and out of it.
//
//   made or read from disk   by 12 bytes a parameter of the host's memory, for the time
//   to a checkpoint          a share of it, staged in page-locked memory (device/staging.h) beside
//                            what is computed; the update after it waits on the device
//   to and from members      straight from and to the device's memory: by NCCL, or by a window
//
// Thread rule: one thread at a time; a StateSlice that was handed out belongs to who has it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "worker/device/context.h"
#include "worker/device/staging.h"
#include "worker/train/engine.h"
#include "worker/train/state.h"

namespace muster::train {

class DeviceState final {
 public:
  DeviceState(device::Context& context, std::int64_t parameters);

  float* at(StateVector vector, std::int64_t element = 0) const {
    return state_[static_cast<std::size_t>(vector)].as<float>(element);
  }
  // Before anything is launched that overwrites the state: what is being staged is copied first.
  void AboutToChange();

  // Memory of the host that a whole state is written to, zeros at first; CloseHost makes it the
  // state.
  StateSpans OpenHost();
  void CloseHost();
  std::unique_ptr<StateSlice> Stage(std::int64_t begin, std::int64_t end);
  std::vector<std::span<const std::byte>> Regions() const;

  // Where a state arrives: in `sum` and `reduced`, which are void (M6). Sums of 4 bytes leave no
  // room for the third vector. It takes 4 bytes a parameter of the device for the time; or its own
  // place, when the state that is there need not be kept.
  std::vector<std::span<std::byte>> Receive(const device::Memory& sum,
                                            const device::Memory& reduced, bool keep_state);
  std::array<const float*, kStateVectors> received() const;
  void TakeReceived();
  void DropReceived();

 private:
  device::Context& context_;
  const std::int64_t bytes_;  // of one vector
  std::array<device::Memory, kStateVectors> state_;
  std::array<AlignedBuffer, kStateVectors> host_;  // only while a state is made or read
  device::Memory extra_;                           // only while a state is received
  std::array<std::byte*, kStateVectors> received_{};
  // Of the last slice, for the next one of its size when that one is gone: to lock pages takes long.
  std::shared_ptr<device::HostMemory> staging_;
  bool staged_ = false;  // since the state changed last
};

}  // namespace muster::train
