// The functions of CUDA's runtime that hand out memory, and those that copy.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tests/worker/cuda/simt/emulator.h"

namespace muster::simt {
namespace {

cudaError_t NeedStream(cudaStream_t stream, const char* call) {
  if (IsStream(stream)) return cudaSuccess;
  return Breach(std::string(call) + ": the stream is none of this device",
                cudaErrorInvalidResourceHandle);
}

cudaError_t CopyFor(const char* call, void* to, const void* from, std::size_t bytes,
                    cudaMemcpyKind kind) {
  if (bytes == 0) return cudaSuccess;
  Copy direction{};
  switch (kind) {
    case cudaMemcpyHostToHost:
      direction = Copy::kOnHost;
      break;
    case cudaMemcpyHostToDevice:
      direction = Copy::kToDevice;
      break;
    case cudaMemcpyDeviceToHost:
      direction = Copy::kToHost;
      break;
    case cudaMemcpyDeviceToDevice:
      direction = Copy::kOnDevice;
      break;
    default:
      return Failed(cudaErrorInvalidMemcpyDirection);
  }
  std::string wrong;
  {
    // A kernel of another thread has all memory open.
    const std::lock_guard launching(TheEmulator().launching);
    wrong = TheEmulator().memory.CopyBytes(to, from, bytes, direction);
  }
  if (wrong.empty()) return cudaSuccess;
  return Breach(std::string(call) + " of " + std::to_string(bytes) + " bytes: " + wrong,
                cudaErrorInvalidValue);
}

cudaError_t FillFor(const char* call, void* device, int value, std::size_t bytes) {
  if (bytes == 0) return cudaSuccess;
  std::string wrong;
  {
    const std::lock_guard launching(TheEmulator().launching);
    wrong = TheEmulator().memory.Fill(device, value, bytes);
  }
  if (wrong.empty()) return cudaSuccess;
  return Breach(std::string(call) + " of " + std::to_string(bytes) + " bytes: " + wrong,
                cudaErrorInvalidValue);
}

std::size_t DeviceBytes() {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  return emulator.settings.device_bytes;
}

}  // namespace
}  // namespace muster::simt

using muster::simt::Breach;
using muster::simt::Failed;
using muster::simt::TheEmulator;

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  *total_bytes = muster::simt::DeviceBytes();
  const std::size_t used = TheEmulator().memory.Used(muster::simt::ThisDevice());
  *free_bytes = *total_bytes - std::min(*total_bytes, used);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** device, std::size_t bytes) {
  *device = nullptr;
  const cudaError_t error = muster::simt::MayBeCalled("cudaMalloc");
  if (error != cudaSuccess || bytes == 0) return error;
  *device =
      TheEmulator().memory.Allocate(muster::simt::ThisDevice(), bytes, muster::simt::DeviceBytes());
  return *device == nullptr ? Failed(cudaErrorMemoryAllocation) : cudaSuccess;
}
// Waits for what may still use it, as CUDA does.
cudaError_t cudaFree(void* device) {
  const cudaError_t error = muster::simt::MayBeCalled("cudaFree");
  if (error != cudaSuccess) return error;
  (void)muster::simt::WaitForAll();
  if (device == nullptr || TheEmulator().memory.Free(device)) return cudaSuccess;
  return Breach("cudaFree: it was not allocated, or is freed", cudaErrorInvalidValue);
}

cudaError_t cudaMallocHost(void** host, std::size_t bytes) {
  *host = nullptr;
  const cudaError_t error = muster::simt::MayBeCalled("cudaMallocHost");
  if (error != cudaSuccess) return error;
  *host = bytes == 0 ? nullptr : std::malloc(bytes);
  if (*host == nullptr) return bytes == 0 ? cudaSuccess : Failed(cudaErrorMemoryAllocation);
  auto& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  emulator.page_locked[static_cast<const char*>(*host)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* host) {
  if (host == nullptr) return cudaSuccess;
  (void)muster::simt::WaitForAll();
  auto& emulator = TheEmulator();
  std::size_t erased = 0;
  {
    const std::lock_guard lock(emulator.mutex);
    erased = emulator.page_locked.erase(static_cast<const char*>(host));
  }
  if (erased == 0) {
    return Breach("cudaFreeHost: it was not allocated, or is freed", cudaErrorInvalidValue);
  }
  std::free(host);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t error = muster::simt::MayBeCalled("cudaMemcpy");
  if (error != cudaSuccess) return error;
  return muster::simt::CopyFor("cudaMemcpy", to, from, bytes, kind);
}

// What is pageable has been read when this returns, or written: CUDA stages the one and waits for the
// other.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const cudaError_t error = muster::simt::NeedStream(stream, "cudaMemcpyAsync");
  if (error != cudaSuccess) return error;
  const auto copy = [=](const void* source) {
    return muster::simt::CopyFor("cudaMemcpyAsync", to, source, bytes, kind);
  };
  const bool late = muster::simt::IsLate(stream);
  if (late && kind == cudaMemcpyHostToDevice && !muster::simt::IsPageLocked(from)) {
    const auto* const first = static_cast<const char*>(from);
    const auto staged = std::make_shared<std::vector<char>>(first, first + bytes);
    return muster::simt::Give(stream, [=] { return copy(staged->data()); });
  }
  const cudaError_t given = muster::simt::Give(stream, [=] { return copy(from); });
  const bool waits = late && kind == cudaMemcpyDeviceToHost && !muster::simt::IsPageLocked(to);
  return waits && given == cudaSuccess ? muster::simt::WaitFor(stream) : given;
}

cudaError_t cudaMemset(void* device, int value, std::size_t bytes) {
  const cudaError_t error = muster::simt::MayBeCalled("cudaMemset");
  if (error != cudaSuccess) return error;
  return muster::simt::FillFor("cudaMemset", device, value, bytes);
}
cudaError_t cudaMemsetAsync(void* device, int value, std::size_t bytes, cudaStream_t stream) {
  const cudaError_t error = muster::simt::NeedStream(stream, "cudaMemsetAsync");
  if (error != cudaSuccess) return error;
  return muster::simt::Give(
      stream, [=] { return muster::simt::FillFor("cudaMemsetAsync", device, value, bytes); });
}
