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

// TCP_NODELAY, and the silence that breaks the link: of a peer that owes an acknowledgement, and of
// one that is owed nothing, by probes. Also of one that does not read while we want to send.
void TuneSocket(int fd, base::Duration silence);

// For a connection on which we send to a peer that may not read for as long as it computes. Linux
// takes a full window for silence (TCP_USER_TIMEOUT), though the peer's kernel acknowledges each
// probe of it; whether that peer lives is told by another connection.
void AllowUnread(int fd);

void SetBuffers(int fd, int bytes);  // 0: as the system sizes them

}  // namespace muster::comm
