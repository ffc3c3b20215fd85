// The emulator's own state: what CUDA keeps in its runtime. One for each program or loaded module,
// as CUDA's is, since the functions that it stands in for have no other place for it.
//
// Thread rule: `mutex` guards what is below it; `launching` is held while a kernel runs or bytes are
// copied. A copy that was late is done under the lock of `late`, which is taken before all others.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "tests/worker/cuda/simt/late.h"
#include "tests/worker/cuda/simt/memory.h"
#include "tests/worker/cuda/simt/simt.h"

namespace muster::simt {

// The GPUs that tests/worker/device/standin_gpus.h names, until Configure is called.
Settings SettingsOfEnvironment();

struct Emulator {
  Memory memory;
  Late late;
  std::mutex launching;

  std::mutex mutex;
  Settings settings = SettingsOfEnvironment();
  std::vector<std::string> breaches;
  std::map<const void*, std::size_t> asked_shared_bytes;  // by kernel
  std::map<const void*, int> streams;                     // and their devices
  std::map<const void*, int> events;
  std::map<const char*, std::size_t> page_locked;  // and their bytes
  std::int64_t launches = 0;
  std::uintptr_t last_handle = 0;  // nothing is behind one
};

Emulator& TheEmulator();

// The device that the calling thread has set.
int ThisDevice();

// Remembers a failure as the thread's last error.
cudaError_t Failed(cudaError_t error);
// A breach, and the error that CUDA's function of this name gives.
cudaError_t Breach(const std::string& sentence, cudaError_t error);
// Null is every device's own stream.
bool IsStream(cudaStream_t stream);

}  // namespace muster::simt
