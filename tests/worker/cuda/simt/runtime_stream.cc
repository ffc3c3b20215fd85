// The functions of CUDA's runtime about what is enqueued: streams, events, graphs.
//
// A stream does what it is given at once. It keeps it while it is captured, for the graph; and where
// Settings::late says so, until somebody waits for it.
#include <cuda_runtime_api.h>

#include <chrono>
#include <string>
#include <utility>

#include "tests/worker/cuda/simt/emulator.h"

namespace muster::simt {
namespace {

// A handle that was not given before.
template <typename Handle, typename Value>
cudaError_t Hand(std::map<const void*, Value>& to, Handle* out, Value value) {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  *out = reinterpret_cast<Handle>(emulator.last_handle += 16);
  to[*out] = std::move(value);
  return cudaSuccess;
}

template <typename Value>
cudaError_t TakeBack(std::map<const void*, Value>& from, const void* handle, const char* call) {
  Emulator& emulator = TheEmulator();
  std::size_t erased = 0;
  {
    const std::lock_guard lock(emulator.mutex);
    erased = from.erase(handle);
  }
  if (erased != 0) return cudaSuccess;
  return Breach(std::string(call) + ": it was not handed out", cudaErrorInvalidResourceHandle);
}

cudaError_t OfThisDevice(cudaStream_t stream, const char* call) {
  if (IsStream(stream)) return cudaSuccess;
  return Breach(std::string(call) + ": the stream is none of this device",
                cudaErrorInvalidResourceHandle);
}

// False: there is none, and that was said.
bool FindEvent(cudaEvent_t event, const char* call, Event& found) {
  Emulator& emulator = TheEmulator();
  {
    const std::lock_guard lock(emulator.mutex);
    if (const auto at = emulator.events.find(event); at != emulator.events.end()) {
      found = at->second;
      return true;
    }
  }
  Breach(std::string(call) + ": there is no such event", cudaErrorInvalidResourceHandle);
  return false;
}

std::shared_ptr<const Operations> FindGraph(const void* handle) {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  const auto found = emulator.graphs.find(handle);
  return found == emulator.graphs.end() ? nullptr : found->second;
}

// Until so many of what it was given are done.
cudaError_t Drain(const void* handle, std::uint64_t upto) {
  Emulator& emulator = TheEmulator();
  const std::lock_guard draining(emulator.draining);
  cudaError_t first = cudaSuccess;
  for (;;) {
    Operation next;
    {
      const std::lock_guard lock(emulator.mutex);
      const auto found = emulator.streams.find(handle);
      if (found == emulator.streams.end()) return first;
      Stream& stream = found->second;
      if (stream.done >= upto || stream.waiting.empty()) return first;
      next = std::move(stream.waiting.front());
      stream.waiting.pop_front();
      ++stream.done;
    }
    const cudaError_t error = next();
    if (first == cudaSuccess) first = error;
  }
}

constexpr std::uint64_t kAll = ~std::uint64_t{0};

Settings SettingsOfNow() {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  return emulator.settings;
}

// With Emulator::mutex held.
bool IsCaptured(const Emulator& emulator, const void* handle) {
  const auto found = emulator.streams.find(handle);
  return found != emulator.streams.end() && found->second.capture != nullptr;
}

}  // namespace

cudaError_t Give(cudaStream_t stream, Operation operation) {
  Emulator& emulator = TheEmulator();
  {
    const std::lock_guard lock(emulator.mutex);
    const auto found = emulator.streams.find(stream);
    if (found != emulator.streams.end()) {
      Stream& to = found->second;
      if (to.capture != nullptr) {
        to.capture->push_back(std::move(operation));
        return cudaSuccess;
      }
      // What came before it goes before it, also when the setting has changed since.
      if (emulator.settings.late || !to.waiting.empty()) {
        to.waiting.push_back(std::move(operation));
        ++to.given;
        return cudaSuccess;
      }
    }
  }
  return operation();
}

cudaError_t WaitFor(const void* stream) { return Drain(stream, kAll); }

cudaError_t WaitForAll() {
  Emulator& emulator = TheEmulator();
  std::vector<const void*> all;
  {
    const std::lock_guard lock(emulator.mutex);
    for (const auto& [handle, stream] : emulator.streams) all.push_back(handle);
  }
  cudaError_t first = cudaSuccess;
  for (const void* handle : all) {
    const cudaError_t error = WaitFor(handle);
    if (first == cudaSuccess) first = error;
  }
  return first;
}

bool IsLate(cudaStream_t stream) {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  return stream != nullptr && emulator.settings.late && !IsCaptured(emulator, stream);
}

bool IsPageLocked(const void* at) {
  Emulator& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  const auto* const byte = static_cast<const char*>(at);
  auto after = emulator.page_locked.upper_bound(byte);
  if (after == emulator.page_locked.begin()) return false;
  --after;
  return byte < after->first + after->second;
}

cudaError_t MayBeCalled(const char* call) {
  Emulator& emulator = TheEmulator();
  bool captures = false;
  {
    const std::lock_guard lock(emulator.mutex);
    for (auto& [handle, stream] : emulator.streams) {
      if (stream.capture == nullptr || stream.capturer != std::this_thread::get_id()) continue;
      stream.invalid = true;
      captures = true;
    }
  }
  if (!captures) return cudaSuccess;
  return Breach(std::string(call) + ": this thread captures a stream",
                cudaErrorStreamCaptureUnsupported);
}

}  // namespace muster::simt

using muster::simt::Breach;
using muster::simt::Failed;
using muster::simt::TheEmulator;

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (flags > cudaStreamNonBlocking) return Failed(cudaErrorInvalidValue);
  muster::simt::Stream made;
  made.device = muster::simt::ThisDevice();
  return muster::simt::Hand(TheEmulator().streams, stream, std::move(made));
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  (void)muster::simt::WaitFor(stream);
  return muster::simt::TakeBack(TheEmulator().streams, stream, "cudaStreamDestroy");
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  cudaError_t error = muster::simt::OfThisDevice(stream, "cudaStreamSynchronize");
  if (error == cudaSuccess) error = muster::simt::MayBeCalled("cudaStreamSynchronize");
  return error != cudaSuccess ? error : muster::simt::WaitFor(stream);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const cudaError_t error = muster::simt::OfThisDevice(stream, "cudaStreamWaitEvent");
  if (error != cudaSuccess) return error;
  muster::simt::Event found;
  if (!muster::simt::FindEvent(event, "cudaStreamWaitEvent", found)) {
    return cudaErrorInvalidResourceHandle;
  }
  return muster::simt::Give(stream,
                            [found] { return muster::simt::Drain(found.stream, found.given); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if ((flags & ~(cudaEventDisableTiming | cudaEventBlockingSync)) != 0) {
    return Failed(cudaErrorInvalidValue);
  }
  return muster::simt::Hand(TheEmulator().events, event, muster::simt::Event());
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return muster::simt::TakeBack(TheEmulator().events, event, "cudaEventDestroy");
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const cudaError_t error = muster::simt::OfThisDevice(stream, "cudaEventRecord");
  if (error != cudaSuccess) return error;
  muster::simt::Event found;
  if (!muster::simt::FindEvent(event, "cudaEventRecord", found)) {
    return cudaErrorInvalidResourceHandle;
  }
  auto& emulator = TheEmulator();
  const std::lock_guard lock(emulator.mutex);
  const auto at = emulator.streams.find(stream);
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  emulator.events[event] = {stream, at == emulator.streams.end() ? 0 : at->second.given,
                            std::chrono::nanoseconds(now).count()};
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  muster::simt::Event found;
  if (!muster::simt::FindEvent(event, "cudaEventSynchronize", found)) {
    return cudaErrorInvalidResourceHandle;
  }
  const cudaError_t error = muster::simt::MayBeCalled("cudaEventSynchronize");
  return error != cudaSuccess ? error : muster::simt::Drain(found.stream, found.given);
}
// The device has come so far by now.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  muster::simt::Event found;
  if (!muster::simt::FindEvent(event, "cudaEventQuery", found)) {
    return cudaErrorInvalidResourceHandle;
  }
  return muster::simt::Drain(found.stream, found.given);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  muster::simt::Event from, to;
  if (!muster::simt::FindEvent(begin, "cudaEventElapsedTime", from) ||
      !muster::simt::FindEvent(end, "cudaEventElapsedTime", to)) {
    return cudaErrorInvalidResourceHandle;
  }
  *milliseconds = static_cast<float>(static_cast<double>(to.nanoseconds - from.nanoseconds) / 1e6);
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const cudaError_t error = muster::simt::OfThisDevice(stream, "cudaStreamBeginCapture");
  if (error != cudaSuccess) return error;
  auto& emulator = TheEmulator();
  {
    const std::lock_guard lock(emulator.mutex);
    const auto at = emulator.streams.find(stream);
    // Other modes refuse other threads too, or nobody; neither is played here.
    if (at != emulator.streams.end() && at->second.capture == nullptr &&
        mode == cudaStreamCaptureModeThreadLocal) {
      at->second.capture = std::make_shared<muster::simt::Operations>();
      at->second.invalid = false;
      at->second.capturer = std::this_thread::get_id();
      return cudaSuccess;
    }
  }
  return Breach("cudaStreamBeginCapture: not this stream, not now, or not in this mode",
                cudaErrorInvalidValue);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  auto& emulator = TheEmulator();
  std::shared_ptr<muster::simt::Operations> captured;
  bool invalid = false;
  {
    const std::lock_guard lock(emulator.mutex);
    if (const auto at = emulator.streams.find(stream); at != emulator.streams.end()) {
      captured = std::exchange(at->second.capture, nullptr);
      invalid = at->second.invalid || emulator.settings.captures_fail;
    }
  }
  if (captured == nullptr) {
    return Breach("cudaStreamEndCapture: the stream is not captured", cudaErrorInvalidValue);
  }
  if (invalid) return Failed(cudaErrorStreamCaptureInvalidated);
  return muster::simt::Hand(emulator.graphs, graph,
                            std::shared_ptr<const muster::simt::Operations>(captured));
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  const auto found = muster::simt::FindGraph(graph);
  if (found == nullptr || nodes != nullptr) return Failed(cudaErrorInvalidValue);
  *count = found->size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = nullptr;
  const auto found = muster::simt::FindGraph(graph);
  if (found == nullptr) return Failed(cudaErrorInvalidValue);
  if (muster::simt::SettingsOfNow().instantiations_fail) return Failed(cudaErrorMemoryAllocation);
  return muster::simt::Hand(TheEmulator().graphs, exec, found);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const cudaError_t error = muster::simt::OfThisDevice(stream, "cudaGraphLaunch");
  if (error != cudaSuccess) return error;
  const auto found = muster::simt::FindGraph(exec);
  if (found == nullptr) return Failed(cudaErrorInvalidValue);
  {
    auto& emulator = TheEmulator();
    const std::lock_guard lock(emulator.mutex);
    ++emulator.graph_launches;
  }
  return muster::simt::Give(stream, [found] {
    cudaError_t first = cudaSuccess;
    for (const muster::simt::Operation& operation : *found) {
      const cudaError_t failed = operation();
      if (first == cudaSuccess) first = failed;
    }
    return first;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return muster::simt::TakeBack(TheEmulator().graphs, graph, "cudaGraphDestroy");
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return muster::simt::TakeBack(TheEmulator().graphs, exec, "cudaGraphExecDestroy");
}
