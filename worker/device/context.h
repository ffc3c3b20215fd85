// One GPU of this process and its memory: the module's table with owners.
//
// What fails on a device is not repaired: after most faults the context gives errors for ever, and
// memory that cannot be had was counted before (memory.h). So each call that fails says its sentence
// to `fail`, which ends the process: the others go on without this member, and its replacement
// begins with a new context.
//
// Thread rule: one thread at a time, also for the memory's ends. Copies beside it (staging.h) and
// events may be any thread's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "operator/base/status.h"
#include "worker/cuda/module.h"

namespace muster::device {

// Of the whole device: other processes' share is in it.
struct DeviceMemory {
  std::int64_t used = 0;
  std::int64_t total = 0;
};

class Context final {
 public:
  // Does not return.
  using Fail = std::function<void(const std::string& sentence)>;

  // Unavailable with the module's sentence when the device gives no context.
  static absl::StatusOr<std::unique_ptr<Context>> Create(const MusterCudaModule& module,
                                                         int ordinal, Fail fail);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const MusterCudaModule& module() const { return module_; }
  MusterCudaContext* raw() const { return context_; }

  // Calls call(room for a sentence); what is not 0 ends the process with the sentence.
  template <typename Call>
  void Check(const Call& call) {
    char text[kSentence] = "";
    if (call(MusterCudaText{text, kSentence}) != 0) End(text);
  }

  // context.Do(&MusterCudaModule::clear, pointer, bytes): the function with this context first and
  // room for its sentence last.
  template <typename... P, typename... A>
  void Do(int32_t (*MusterCudaModule::*function)(MusterCudaContext*, P...), A... arguments) {
    Check([&](MusterCudaText message) {
      return (module_.*function)(context_, arguments..., message);
    });
  }

  // The same with a function of the table's staging; those that module.h says so of by any thread.
  template <typename... P, typename... A>
  void Stage(int32_t (*MusterCudaStaging::*function)(MusterCudaContext*, P...), A... arguments) {
    Check([&](MusterCudaText message) {
      return (module_.staging.*function)(context_, arguments..., message);
    });
  }

  // For another thread that makes CUDA's calls itself.
  absl::Status Bind();
  void* stream() const { return module_.stream(context_); }
  void* copies() const { return module_.staging.copies(context_); }

  // The host's side may be given back once these have returned.
  void ToDevice(std::span<const std::byte> from, void* to);
  void ToHost(const void* from, std::span<std::byte> to);
  DeviceMemory ReadMemory();
  void Synchronise() { Do(&MusterCudaModule::synchronise); }

 private:
  friend class Memory;
  friend class Event;
  static constexpr int32_t kSentence = 256;

  Context(const MusterCudaModule& module, MusterCudaContext* context, Fail fail)
      : module_(module), context_(context), fail_(std::move(fail)) {}
  [[noreturn]] void End(const std::string& sentence) const;

  const MusterCudaModule& module_;
  MusterCudaContext* const context_;
  const Fail fail_;
};

// Bytes of the device, not initialised. The context outlives it.
class Memory final {
 public:
  Memory() = default;
  Memory(Context& context, std::int64_t bytes);
  ~Memory();
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;

  std::int64_t bytes() const { return bytes_; }
  void* data() const { return device_; }
  template <typename T>
  T* as(std::int64_t element = 0) const {
    return static_cast<T*>(device_) + element;
  }

 private:
  Context* context_ = nullptr;
  void* device_ = nullptr;
  std::int64_t bytes_ = 0;
};

// A stream beside the context's own. The context outlives it.
class Stream final {
 public:
  Stream() = default;
  explicit Stream(Context& context);
  ~Stream();
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;
  void* value() const { return stream_; }

 private:
  Context* context_ = nullptr;
  void* stream_ = nullptr;
};

// An event without times. The context outlives it.
class Event final {
 public:
  Event() = default;
  explicit Event(Context& context);
  ~Event();
  Event(Event&& other) noexcept;
  Event& operator=(Event&& other) noexcept;
  void* value() const { return event_; }
  // Behind what is on the context's stream by now.
  void Record() const;
  // Until it is done, as it was last recorded.
  void Synchronise() const;

 private:
  Context* context_ = nullptr;
  void* event_ = nullptr;
};

}  // namespace muster::device
