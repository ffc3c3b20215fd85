#include "worker/cuda/slot_staging.h"

#include "worker/cuda/context.h"

namespace muster::cuda {

SlotStaging::~SlotStaging() {
  for (const Buffer& buffer : buffers_) {
    if (buffer.in_flight) (void)cudaEventSynchronize(buffer.read);
    if (buffer.read != nullptr) (void)cudaEventDestroy(buffer.read);
  }
  if (host_ != nullptr) (void)cudaFreeHost(host_);
  ForgetLastError();
}

std::int32_t SlotStaging::Open(const MusterCudaContext& context, const GptShape& shape,
                               MusterCudaText message) {
  stream_ = context.stream;
  const std::int64_t each = CutSlotInputs(shape, nullptr).bytes;
  std::int32_t failed = Do(&context, "cudaMallocHost", message, [&] {
    return cudaMallocHost(&host_, static_cast<std::size_t>(each) * buffers_.size());
  });
  for (std::size_t i = 0; i < buffers_.size() && failed == 0; ++i) {
    buffers_[i].inputs = CutSlotInputs(
        shape, static_cast<unsigned char*>(host_) + static_cast<std::int64_t>(i) * each);
    failed = Say("cudaEventCreateWithFlags",
                 cudaEventCreateWithFlags(&buffers_[i].read, cudaEventDisableTiming), message);
  }
  return failed;
}

std::int32_t SlotStaging::Next(SlotInputs& to, MusterCudaText message) {
  at_ = (at_ + 1) % buffers_.size();
  Buffer& buffer = buffers_[at_];
  to = buffer.inputs;
  if (!buffer.in_flight) return 0;
  buffer.in_flight = false;
  return Say("cudaEventSynchronize", cudaEventSynchronize(buffer.read), message);
}

std::int32_t SlotStaging::Send(const SlotInputs& device, std::int64_t bytes,
                               MusterCudaText message) {
  Buffer& buffer = buffers_[at_];
  const std::int32_t failed =
      Say("cudaMemcpyAsync of a slot's inputs",
          cudaMemcpyAsync(device.numbers, buffer.inputs.numbers, static_cast<std::size_t>(bytes),
                          cudaMemcpyHostToDevice, stream_),
          message);
  if (failed != 0) return failed;
  buffer.in_flight = true;
  return Say("cudaEventRecord", cudaEventRecord(buffer.read, stream_), message);
}

}  // namespace muster::cuda
