// A small libcuda.so.1. Each library of the test is this file with other numbers; the stand-in for
// whole jobs takes its GPUs from the environment (standin_gpus.h).
#include <cstddef>
#include <cstring>

#ifdef FAKE_STANDIN
#include "tests/worker/device/standin_gpus.h"
#endif

#ifndef FAKE_VERSION
#define FAKE_VERSION 13000
#endif
#ifndef FAKE_VERSION_ERROR
#define FAKE_VERSION_ERROR 0
#endif
#ifndef FAKE_INIT
#define FAKE_INIT 0
#endif
#ifndef FAKE_COUNT
#define FAKE_COUNT 2
#endif
#ifndef FAKE_NAME_ERROR
#define FAKE_NAME_ERROR 0
#endif

namespace {
bool initialised = false;
constexpr int kNotInitialised = 3;
constexpr int kInvalidDevice = 101;
constexpr int kDevices = 40;  // a handle is not an ordinal

#ifdef FAKE_STANDIN
int Count() { return muster::standin::Gpus(); }
const char* Name(int) { return muster::standin::kGpuName; }
[[maybe_unused]] std::size_t Memory(int) { return muster::standin::GpuBytes(); }
bool IsNew(int) { return true; }
#else
int Count() { return FAKE_COUNT; }
const char* Name(int device) { return device == kDevices ? "Fake H200" : "Fake V100"; }
[[maybe_unused]] std::size_t Memory(int device) {
  return device == kDevices ? std::size_t{150754820096} : std::size_t{17179869184};
}
bool IsNew(int device) { return device == kDevices; }
#endif

bool Valid(int device) { return device >= kDevices && device < kDevices + Count(); }
}  // namespace

extern "C" {

int cuInit(unsigned) {
  initialised = FAKE_INIT == 0;
  return FAKE_INIT;
}

int cuDriverGetVersion(int* version) {
  *version = FAKE_VERSION;
  return FAKE_VERSION_ERROR;
}

int cuDeviceGetCount(int* count) {
  if (!initialised) return kNotInitialised;
  *count = Count();
  return 0;
}

int cuDeviceGet(int* device, int ordinal) {
  *device = kDevices + ordinal;
  return Valid(*device) ? 0 : kInvalidDevice;
}

int cuDeviceGetName(char* name, int size, int device) {
  if (!Valid(device)) return kInvalidDevice;
  std::strncpy(name, Name(device), static_cast<std::size_t>(size));
  return FAKE_NAME_ERROR;
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
  if (!Valid(device)) return kInvalidDevice;
  const bool is_new = IsNew(device);
  if (attribute == 16) *value = is_new ? 132 : 80;
  if (attribute == 75) *value = is_new ? 9 : 7;
  if (attribute == 76) *value = is_new ? 0 : 5;
  return 0;
}

#ifndef FAKE_LACKS_MEMORY
int cuDeviceTotalMem_v2(std::size_t* bytes, int device) {
  if (!Valid(device)) return kInvalidDevice;
  *bytes = Memory(device);
  return 0;
}
#endif

int cuGetErrorName(int error, const char** name) {
  if (error != 999) return 1;
  *name = "CUDA_ERROR_UNKNOWN";
  return 0;
}

}  // extern "C"
