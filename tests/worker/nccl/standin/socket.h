// TCP over loopback, and no other address: each wait ends soon after a stop is asked for.
//
// Thread rule: one thread at a time for each socket; a Stop is set from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace muster::standin {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  ~Socket() { Close(); }
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  int descriptor() const { return descriptor_; }
  void Close();

 private:
  int descriptor_ = -1;
};

using Stop = std::atomic<bool>;

enum class Flow {
  kDone,
  kStopped,  // by the caller's Stop, or its time is over
  kClosed,   // the peer is gone, or the one that is watched beside it
  kRefused,  // nobody listens there
  kFailed,   // a system call
};

// What a wait is bounded by.
struct Patience {
  const Stop* stop = nullptr;
  std::chrono::steady_clock::time_point until;
  // Whose end ends the wait too, though nothing is read of it.
  const Socket* beside = nullptr;
};

// Its port is the system's choice.
Flow Listen(Socket* listener, std::uint16_t* port);
Flow Connect(std::uint16_t port, const Patience& patience, Socket* out);
Flow Accept(const Socket& listener, const Patience& patience, Socket* out);
Flow Send(const Socket& to, const void* bytes, std::size_t count, const Patience& patience);
Flow Receive(const Socket& from, void* bytes, std::size_t count, const Patience& patience);

}  // namespace muster::standin
