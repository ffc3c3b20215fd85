// Bytes on their way between the host and a device, beside what the device computes.
//
// A copy from or to page-locked memory goes on while its caller does something else, and needs no
// second copy by the driver. Where the system gives no page-locked memory (a limit on locked memory,
// a container's memory) ordinary memory takes its place: the same calls, only that each of them waits.
//
// Thread rule: any thread may make and end these and call their methods, one at a time for each
// object. The context outlives them.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "worker/device/context.h"

namespace muster::device {

// Page-locked memory of the host where there is any, not initialised, aligned to a cache line.
class HostMemory final {
 public:
  HostMemory() = default;
  HostMemory(Context& context, std::size_t bytes);
  ~HostMemory();
  HostMemory(HostMemory&& other) noexcept;
  HostMemory& operator=(HostMemory&& other) noexcept;

  bool page_locked() const { return locked_ != nullptr; }
  std::span<std::byte> bytes() const { return bytes_; }
  template <typename T>
  std::span<T> as() const {
    return {reinterpret_cast<T*>(bytes_.data()), bytes_.size() / sizeof(T)};
  }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  Context* context_ = nullptr;
  void* locked_ = nullptr;
  std::unique_ptr<std::byte[], Free> ordinary_;
  std::span<std::byte> bytes_;
};

// A copy to the host that has begun. Wait() before the bytes are read.
class Staged final {
 public:
  explicit Staged(Context& context) : context_(context), done_(context) {}
  // To be called between the copies and Wait: they are what Wait waits for.
  void Record();
  void Wait();

 private:
  Context& context_;
  Event done_;
};

// One thread's way to memory of the device, a piece at a time. Two pieces of host memory take turns
// in writing, so that one is filled while the other is copied.
class Window final {
 public:
  explicit Window(Context& context) : context_(context) {}
  // What was written is on the device.
  ~Window() { Flush(); }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  // The device's bytes, until the next call. They have to be at rest.
  std::span<const std::byte> Read(std::span<const std::byte> device);
  // Memory for `bytes` bytes, to be filled and then written; until the call after Write.
  std::span<std::byte> Room(std::size_t bytes);
  // What Room gave last, to the device, to which nobody else writes.
  void Write(void* device);
  void Flush();

 private:
  struct Piece {
    HostMemory memory;
    std::unique_ptr<Staged> copy;
    bool under_way = false;
  };
  void Prepare(Piece& piece, std::size_t bytes);

  Context& context_;
  std::array<Piece, 2> pieces_;
  std::size_t turn_ = 0;
  std::size_t asked_ = 0;
};

}  // namespace muster::device
