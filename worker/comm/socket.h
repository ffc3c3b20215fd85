// Non-blocking TCP sockets, an eventfd that wakes a poll, and waits that always end.
//
// Thread rule: values; an AbortFlag is shared between threads, everything else belongs to one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::comm {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { Reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void Reset();

 private:
  int fd_ = -1;
};

// Set once from any thread; whoever polls fd() wakes up. Never cleared.
class AbortFlag {
 public:
  AbortFlag();
  void Set();
  bool is_set() const { return set_.load(std::memory_order_acquire); }
  int fd() const { return event_.get(); }

 private:
  std::atomic<bool> set_{false};
  UniqueFd event_;
};

// Steady time, on the same axis as runtime::RealClock.
base::Time Now();

// Waits until fd is ready for `events` (POLLIN, POLLOUT). Aborted, DeadlineExceeded or OK; an error
// condition of fd counts as ready (the following read or write reports it).
absl::Status WaitReady(int fd, short events, base::Time deadline, const AbortFlag& abort);

// host:port -> a connected non-blocking socket with TCP_NODELAY. Unavailable with the reason,
// Aborted, or DeadlineExceeded. Numeric addresses never ask a resolver.
absl::StatusOr<UniqueFd> Connect(const std::string& address, base::Time deadline,
                                 const AbortFlag& abort);

// A link is broken (ETIMEDOUT) when the peer's kernel has answered nothing for so long: its cable is
// out, or only the way between these two. Nobody else would notice that both still beat (M3).
inline constexpr base::Duration kLinkSilence = std::chrono::seconds(2);

// TCP_NODELAY, the silence that breaks the link, and, when buffer_bytes > 0, socket buffers of that
// size.
void TuneSocket(int fd, int buffer_bytes, base::Duration silence);

}  // namespace muster::comm
