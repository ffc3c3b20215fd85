// A connection of the data plane: plain TCP, or TLS over it. Both are read and written alike and
// never block; what differs is what a caller has to wait for.
//
//   n = Read(bytes)   n > 0   that many came
//                     n == 0  the peer has closed
//                     n < 0   Blocked(): poll get() for read_waits_for(), unless buffered()
//                             else it is broken: Trouble() says how, Error() is the status
//
// A TLS handshake happens inside the first calls, in which a read may have to wait until it can
// write and the other way round; so its deadline is that of whoever greets. Bytes that were
// decrypted already are not seen by poll: read until it is blocked before you wait, or ask
// buffered().
//
// Thread rule: one thread at a time. shutdown(get()) by another one ends what this one does.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "operator/api/member_uri.h"
#include "operator/base/status.h"
#include "operator/base/time.h"
#include "worker/comm/greeting.h"
#include "worker/comm/socket.h"

namespace muster::comm {

class TlsSession;

class Channel {
 public:
  Channel();
  explicit Channel(UniqueFd fd);                              // plain TCP
  Channel(UniqueFd fd, std::unique_ptr<TlsSession> session);  // made by Tls (tls.h)
  ~Channel();  // closes at once, without a word to the peer
  Channel(Channel&& other) noexcept;
  Channel& operator=(Channel&& other) noexcept;

  int get() const { return fd_.get(); }  // to poll, tune and shut down
  explicit operator bool() const { return static_cast<bool>(fd_); }

  ssize_t Read(std::span<std::byte> into);
  // Where the last call was blocked, this one begins with the same bytes, and as many or more.
  ssize_t Write(std::span<const std::byte> from);
  // After a call that gave -1.
  static bool Blocked() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }
  short read_waits_for() const;   // POLLIN but for a handshake
  short write_waits_for() const;  // POLLOUT but for a handshake
  bool buffered() const;          // something can be read although poll does not say so

  // What broke it, as half a sentence about the peer. PermissionDenied: this end does not believe
  // the peer's certificate. Unavailable: everything else. Right after the call that gave -1.
  std::string Trouble() const;
  absl::Status Error() const;

  bool tls() const { return session_ != nullptr; }
  // Whom the peer's certificate speaks for; null before the handshake is over, and without TLS.
  const api::JobMember* peer() const;

 private:
  UniqueFd fd_;
  std::unique_ptr<TlsSession> session_;  // uses fd_
};

// The whole span or a status: Error() when it broke, Unavailable when the peer closed, Aborted, or
// DeadlineExceeded.
absl::Status WriteAll(Channel& channel, std::span<const std::byte> bytes, base::Time deadline,
                      const AbortFlag& abort);
absl::Status ReadAll(Channel& channel, std::span<std::byte> bytes, base::Time deadline,
                     const AbortFlag& abort);

// Says who we are and reads the answer. FailedPrecondition: refused, with the peer's sentence.
// Unavailable: no answer, or refused for now.
absl::Status Greet(Channel& channel, const Greeting& greeting, base::Time deadline,
                   const AbortFlag& abort);

}  // namespace muster::comm
