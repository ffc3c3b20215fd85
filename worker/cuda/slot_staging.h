// What slots are given, on its way to the device: page-locked memory that is not written again before
// the device has read it.
//
// A copy of page-locked memory reads it when the stream comes to it, which may be slots later: so each
// slot in flight has a buffer of its own, and before one is written again the copy out of it is waited
// for. With three of them a thread that is two slots ahead of the device waits for nothing else.
// Thread rule: the context's.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>

#include "worker/cuda/gpt_plan.h"

struct MusterCudaContext;

namespace muster::cuda {

class SlotStaging {
 public:
  SlotStaging() = default;
  ~SlotStaging();
  SlotStaging(const SlotStaging&) = delete;
  SlotStaging& operator=(const SlotStaging&) = delete;

  // Each 0, or 1 and a sentence.
  std::int32_t Open(const MusterCudaContext& context, const GptShape& shape,
                    MusterCudaText message);
  // The buffer to write; waits until the device has read what was in it.
  std::int32_t Next(SlotInputs& to, MusterCudaText message);
  // Its first bytes to the device.
  std::int32_t Send(const SlotInputs& device, std::int64_t bytes, MusterCudaText message);

 private:
  struct Buffer {
    cudaEvent_t read = nullptr;
    bool in_flight = false;
    SlotInputs inputs;
  };
  void* host_ = nullptr;
  cudaStream_t stream_ = nullptr;
  std::array<Buffer, 3> buffers_;
  std::size_t at_ = 0;
};

}  // namespace muster::cuda
