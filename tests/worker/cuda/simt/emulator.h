// The emulator's own state: what CUDA keeps in its runtime. One for each program or loaded module,
// as CUDA's is, since the functions that it stands in for have no other place for it.
//
// Thread rule: `mutex` guards what is below it; `launching` is held while a kernel runs or bytes are
// copied. `draining` is taken before both.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/worker/cuda/simt/memory.h"
#include "tests/worker/cuda/simt/simt.h"

namespace muster::simt {

// The GPUs that tests/worker/device/standin_gpus.h names, until Configure is called.
Settings SettingsOfEnvironment();

// What a stream is given: it does it, and says what went wrong.
using Operation = std::function<cudaError_t()>;
using Operations = std::vector<Operation>;

struct Stream {
  int device = 0;
  std::deque<Operation> waiting;
  std::uint64_t given = 0, done = 0;
  // While it is captured.
  std::shared_ptr<Operations> capture;
  bool invalid = false;
  std::thread::id capturer;
};
struct Event {
  const void* stream = nullptr;
  std::uint64_t given = 0;  // of the stream when it was recorded
  std::int64_t nanoseconds = 0;
};

struct Emulator {
  Memory memory;
  std::mutex launching;
  std::recursive_mutex draining;  // held while what a stream was given late is done

  std::mutex mutex;
  Settings settings = SettingsOfEnvironment();
  std::vector<std::string> breaches;
  std::map<const void*, std::size_t> asked_shared_bytes;  // by kernel
  std::map<const void*, Stream> streams;
  std::map<const void*, Event> events;
  std::map<const void*, std::shared_ptr<const Operations>> graphs;  // captured and instantiated
  std::map<const char*, std::size_t> page_locked;                   // and how long it is
  std::int64_t launches = 0, graph_launches = 0;
  std::uintptr_t last_handle = 0;  // nothing is behind one
};

Emulator& TheEmulator();

// The device that the calling thread has set.
int ThisDevice();

// Remembers a failure as the thread's last error.
cudaError_t Failed(cudaError_t error);
// A breach, and the error that CUDA's function of this name gives.
cudaError_t Breach(const std::string& sentence, cudaError_t error);
// Null is every device's own stream, which is never late.
bool IsStream(cudaStream_t stream);

// Does it, or keeps it for when the stream, or the graph that is made of it, comes to it.
cudaError_t Give(cudaStream_t stream, Operation operation);
// All that streams of all devices were given is done. The first failure.
cudaError_t WaitForAll();
cudaError_t WaitFor(const void* stream);
// Whether what a stream is given now waits.
bool IsLate(cudaStream_t stream);
bool IsPageLocked(const void* at);
// What no thread may call that captures a stream: it ends the capture.
cudaError_t MayBeCalled(const char* call);

}  // namespace muster::simt
