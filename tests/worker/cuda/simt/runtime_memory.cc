// The functions of CUDA's runtime that hand out: streams, events, memory; and those that copy.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>

#include "tests/worker/cuda/simt/emulator.h"

namespace muster::simt {
namespace {

// A handle that was not given before, of the thread's device.
template <typename Handle>
cudaError_t Hand(std::map<const void*, int>& to, Handle* out) {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  *out = reinterpret_cast<Handle>(emulator.last_handle += 16);
  to[*out] = ThisDevice();
  return cudaSuccess;
}

cudaError_t TakeBack(std::map<const void*, int>& from, const void* handle, const char* call) {
  Emulator& emulator = TheEmulator();
  std::size_t erased = 0;
  {
    const std::lock_guard lock(emulator.mutex);
    erased = from.erase(handle);
  }
  if (erased != 0) return cudaSuccess;
  return Breach(std::string(call) + ": it was not handed out", cudaErrorInvalidResourceHandle);
}

cudaError_t NeedStream(cudaStream_t stream, const char* call) {
  if (IsStream(stream)) return cudaSuccess;
  return Breach(std::string(call) + ": the stream is none of this device",
                cudaErrorInvalidResourceHandle);
}

cudaError_t NeedEvent(cudaEvent_t event, const char* call) {
  Emulator& emulator = TheEmulator();
  {
    const std::lock_guard lock(emulator.mutex);
    if (emulator.events.count(event) != 0) return cudaSuccess;
  }
  return Breach(std::string(call) + ": there is no such event", cudaErrorInvalidResourceHandle);
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

// Whether the bytes lie in page-locked memory: then a copy may be late.
bool IsPageLocked(const void* at, std::size_t bytes) {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  const char* const first = static_cast<const char*>(at);
  auto found = emulator.page_locked.upper_bound(first);
  if (found == emulator.page_locked.begin()) return false;
  --found;
  const auto offset = static_cast<std::size_t>(first - found->first);
  return offset <= found->second && bytes <= found->second - offset;
}

// The device and the direction are checked when it is done, by which time its sentence is a breach
// that the caller does not hear of.
bool MayBeLate(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
               cudaStream_t stream) {
  if (stream == nullptr || bytes == 0) return false;
  return (kind == cudaMemcpyHostToDevice && IsPageLocked(from, bytes)) ||
         (kind == cudaMemcpyDeviceToHost && IsPageLocked(to, bytes));
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

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (flags > cudaStreamNonBlocking) return Failed(cudaErrorInvalidValue);
  return muster::simt::Hand(TheEmulator().streams, stream);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  TheEmulator().late.DoStream(stream);
  return muster::simt::TakeBack(TheEmulator().streams, stream, "cudaStreamDestroy");
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  TheEmulator().late.DoStream(stream);
  return muster::simt::NeedStream(stream, "cudaStreamSynchronize");
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const cudaError_t error = muster::simt::NeedStream(stream, "cudaStreamWaitEvent");
  TheEmulator().late.DoEvent(event);
  return error != cudaSuccess ? error : muster::simt::NeedEvent(event, "cudaStreamWaitEvent");
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if ((flags & ~(cudaEventDisableTiming | cudaEventBlockingSync)) != 0) {
    return Failed(cudaErrorInvalidValue);
  }
  return muster::simt::Hand(TheEmulator().events, event);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  TheEmulator().late.Forget(event);
  return muster::simt::TakeBack(TheEmulator().events, event, "cudaEventDestroy");
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const cudaError_t error = muster::simt::NeedStream(stream, "cudaEventRecord");
  TheEmulator().late.Record(event, stream);
  return error != cudaSuccess ? error : muster::simt::NeedEvent(event, "cudaEventRecord");
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  TheEmulator().late.DoEvent(event);
  return muster::simt::NeedEvent(event, "cudaEventSynchronize");
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const cudaError_t error = muster::simt::NeedEvent(event, "cudaEventQuery");
  if (error != cudaSuccess) return error;
  // The first to ask is told that it is not ready, and the copies are done.
  return TheEmulator().late.DoEvent(event) ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  *total_bytes = muster::simt::DeviceBytes();
  const std::size_t used = TheEmulator().memory.Used(muster::simt::ThisDevice());
  *free_bytes = *total_bytes - std::min(*total_bytes, used);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** device, std::size_t bytes) {
  *device = nullptr;
  if (bytes == 0) return cudaSuccess;
  *device =
      TheEmulator().memory.Allocate(muster::simt::ThisDevice(), bytes, muster::simt::DeviceBytes());
  return *device == nullptr ? Failed(cudaErrorMemoryAllocation) : cudaSuccess;
}
cudaError_t cudaFree(void* device) {
  TheEmulator().late.DoAll();
  if (device == nullptr || TheEmulator().memory.Free(device)) return cudaSuccess;
  return Breach("cudaFree: it was not allocated, or is freed", cudaErrorInvalidValue);
}

cudaError_t cudaMallocHost(void** host, std::size_t bytes) {
  *host = bytes == 0 ? nullptr : std::malloc(bytes);
  if (*host == nullptr) return bytes == 0 ? cudaSuccess : Failed(cudaErrorMemoryAllocation);
  auto& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  emulator.page_locked[static_cast<const char*>(*host)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* host) {
  if (host == nullptr) return cudaSuccess;
  auto& emulator = TheEmulator();
  emulator.late.DoAll();
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
  return muster::simt::CopyFor("cudaMemcpy", to, from, bytes, kind);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const cudaError_t error = muster::simt::NeedStream(stream, "cudaMemcpyAsync");
  if (error != cudaSuccess) return error;
  auto copy = [=] { return muster::simt::CopyFor("cudaMemcpyAsync", to, from, bytes, kind); };
  if (muster::simt::MayBeLate(to, from, bytes, kind, stream)) {
    TheEmulator().late.Add(stream, [copy] { (void)copy(); });
    return cudaSuccess;
  }
  TheEmulator().late.DoStream(stream);
  return copy();
}
cudaError_t cudaMemset(void* device, int value, std::size_t bytes) {
  return muster::simt::FillFor("cudaMemset", device, value, bytes);
}
cudaError_t cudaMemsetAsync(void* device, int value, std::size_t bytes, cudaStream_t stream) {
  const cudaError_t error = muster::simt::NeedStream(stream, "cudaMemsetAsync");
  if (error != cudaSuccess) return error;
  TheEmulator().late.DoStream(stream);
  return muster::simt::FillFor("cudaMemsetAsync", device, value, bytes);
}
