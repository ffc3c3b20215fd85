// The functions of CUDA's runtime that include/cuda_runtime_api.h names: errors, devices, kernels'
// attributes, copies. What CUDA answers to a mistake it answers here, and says it as a breach too.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <mutex>
#include <string>
#include <utility>

#include "tests/worker/cuda/simt/emulator.h"
#include "tests/worker/device/standin_gpus.h"

namespace muster::simt {
namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local int device = 0;
thread_local std::string last_failure;  // what cudaGetErrorString gave

struct Named {
  cudaError_t error;
  const char* name;
  const char* text;
};
constexpr Named kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection",
     "invalid copy direction for memcpy"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
};
const Named* Find(cudaError_t error) {
  const auto found = std::find_if(std::begin(kErrors), std::end(kErrors),
                                  [&](const Named& n) { return n.error == error; });
  return found == std::end(kErrors) ? nullptr : found;
}

}  // namespace

// What the driver's stand-in names, so that a worker process finds what it was promised.
Settings SettingsOfEnvironment() {
  Settings settings;
  settings.devices = standin::Gpus();
  settings.device_bytes = standin::GpuBytes();
  return settings;
}

Emulator& TheEmulator() {
  static Emulator emulator;
  return emulator;
}

int ThisDevice() { return device; }

cudaError_t Failed(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t Breach(const std::string& sentence, cudaError_t error) {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  emulator.breaches.push_back(sentence);
  return Failed(error);
}

bool IsStream(cudaStream_t stream) {
  if (stream == nullptr) return true;
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  const auto found = emulator.streams.find(stream);
  return found != emulator.streams.end() && found->second == device;
}

void Configure(const Settings& settings) {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  emulator.settings = settings;
}

std::vector<std::string> TakeBreaches() {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  return std::exchange(emulator.breaches, {});
}

Counts CountAll() {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  return {emulator.launches, static_cast<std::int64_t>(emulator.memory.count()),
          static_cast<std::int64_t>(emulator.page_locked.size()),
          static_cast<std::int64_t>(emulator.streams.size()),
          static_cast<std::int64_t>(emulator.events.size())};
}

namespace {

Settings SettingsNow() {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  return emulator.settings;
}

cudaError_t CheckDevice(int ordinal) {
  const bool there = ordinal >= 0 && ordinal < SettingsNow().devices;
  return there ? cudaSuccess : Failed(cudaErrorInvalidDevice);
}

}  // namespace
}  // namespace muster::simt

using muster::simt::Breach;
using muster::simt::Failed;
using muster::simt::TheEmulator;

cudaError_t cudaGetLastError() { return std::exchange(muster::simt::last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return muster::simt::last_error; }

const char* cudaGetErrorName(cudaError_t error) {
  const auto* const named = muster::simt::Find(error);
  return named == nullptr ? "unrecognized error code" : named->name;
}

const char* cudaGetErrorString(cudaError_t error) {
  const auto* const named = muster::simt::Find(error);
  if (named == nullptr) return "unrecognized error code";
  if (error != cudaErrorLaunchFailure) return named->text;
  auto& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  if (emulator.breaches.empty()) return named->text;
  muster::simt::last_failure = std::string(named->text) + ": " + emulator.breaches.back();
  return muster::simt::last_failure.c_str();
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = muster::simt::SettingsNow().devices;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* ordinal) {
  *ordinal = muster::simt::device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int ordinal) {
  const cudaError_t error = muster::simt::CheckDevice(ordinal);
  if (error == cudaSuccess) muster::simt::device = ordinal;
  return error;
}
cudaError_t cudaDeviceSynchronize() {
  TheEmulator().late.DoAll();
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int ordinal) {
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, ordinal);
  if (error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = properties.maxThreadsPerBlock;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(properties.sharedMemPerBlock);
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = properties.warpSize;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      return cudaSuccess;
  }
  return Failed(cudaErrorInvalidValue);
}

// An A100's, but for the name and the memory.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int ordinal) {
  const cudaError_t error = muster::simt::CheckDevice(ordinal);
  if (error != cudaSuccess) return error;
  const muster::simt::Settings settings = muster::simt::SettingsNow();
  *properties = {};
  std::strcpy(properties->name, "simt");
  properties->totalGlobalMem = settings.device_bytes;
  properties->sharedMemPerBlock = muster::simt::kSharedWithoutAsking;
  properties->sharedMemPerBlockOptin = settings.most_shared_bytes;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = static_cast<int>(muster::simt::kMostThreads);
  properties->multiProcessorCount = 108;
  properties->major = 8;
  properties->minor = 0;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const auto most = muster::simt::SettingsNow().most_shared_bytes;
  if (kernel == nullptr || attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      static_cast<std::size_t>(value) > most) {
    return Failed(cudaErrorInvalidValue);
  }
  auto& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  emulator.asked_shared_bytes[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}
