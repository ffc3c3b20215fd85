#include "worker/train/slot_flights.h"

#include <bit>
#include <cstring>

#include "operator/base/check.h"

namespace muster::train {
namespace {

TensorTold FromModule(const MusterCudaTold& told) {
  TensorTold out;
  out.flags = {(told.flags & MUSTER_CUDA_NOT_FINITE) != 0,
               (told.flags & MUSTER_CUDA_SATURATED) != 0, told.checksum};
  out.max_abs = std::bit_cast<float>(told.max_abs);
  return out;
}

}  // namespace

SlotFlights::SlotFlights(device::Context& context, std::size_t tensors)
    : context_(context),
      tensors_(tensors),
      told_(context, static_cast<std::int64_t>(tensors * sizeof(MusterCudaTold) + sizeof(double))) {
  for (Flight& flight : flights_) {
    flight.told = device::HostMemory(context, static_cast<std::size_t>(told_.bytes()));
    flight.done = device::Event(context);
  }
}

void SlotFlights::Begin() {
  MUSTER_CHECK(begun_ - finished_ < kMost, "more slots are in flight than there may be");
  context_.Do(&MusterCudaModule::clear, told_.data(), told_.bytes());
}

void SlotFlights::Launched(std::int64_t tokens, bool maxima_only) {
  Flight& flight = flights_[begun_++ % kMost];
  flight.tokens = tokens;
  flight.maxima_only = maxima_only;
  context_.Do(&MusterCudaModule::to_host, told_.data(),
              static_cast<void*>(flight.told.bytes().data()), told_.bytes());
  flight.done.Record();
}

SlotTold SlotFlights::Finish() {
  MUSTER_CHECK(finished_ < begun_, "a slot was begun");
  const Flight& flight = flights_[finished_++ % kMost];
  flight.done.Synchronise();
  SlotTold slot;
  slot.loss.tokens = flight.tokens;
  const std::byte* at = flight.told.bytes().data();
  for (std::size_t t = 0; t < tensors_; ++t, at += sizeof(MusterCudaTold)) {
    MusterCudaTold told;
    std::memcpy(&told, at, sizeof told);
    slot.tensors.push_back(FromModule(told));
    // Looking marks what is not finite; the host's engine tells that by the maximum alone.
    if (flight.maxima_only) slot.tensors.back().flags = {};
  }
  std::memcpy(&slot.loss.sum, at, sizeof slot.loss.sum);
  return slot;
}

}  // namespace muster::train
