#include "worker/comm/socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "operator/base/check.h"
#include "operator/runtime/clock.h"

namespace muster::comm {
namespace {

timespec ToTimespec(base::Duration d) {
  const auto ns = std::max<std::int64_t>(d.count(), 0);
  return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

struct Resolved {
  sockaddr_storage address{};
  socklen_t length = 0;
};

absl::StatusOr<Resolved> Resolve(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) {
    return base::InvalidArgument("address '" + address + "' is not host:port");
  }
  std::string host = address.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &list);
  if (error != 0) {
    return base::Unavailable("cannot resolve '" + address + "': " + gai_strerror(error));
  }
  Resolved out;
  std::memcpy(&out.address, list->ai_addr, list->ai_addrlen);
  out.length = list->ai_addrlen;
  freeaddrinfo(list);
  return out;
}

}  // namespace

void UniqueFd::Reset() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

AbortFlag::AbortFlag() : event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  MUSTER_CHECK(event_, "cannot make an eventfd: " + base::ErrnoText(errno));
}

void AbortFlag::Set() {
  if (set_.exchange(true, std::memory_order_acq_rel)) return;
  const std::uint64_t one = 1;
  // An eventfd at 0 always takes a 1.
  [[maybe_unused]] const auto written = write(event_.get(), &one, sizeof(one));
}

base::Time Now() { return runtime::RealClock().Now(); }

absl::Status WaitReady(int fd, short events, base::Time deadline, const AbortFlag& abort) {
  for (;;) {
    if (abort.is_set()) return base::Aborted("aborted");
    pollfd fds[2] = {{fd, events, 0}, {abort.fd(), POLLIN, 0}};
    const timespec left = ToTimespec(deadline - Now());
    const int ready = ppoll(fds, 2, &left, nullptr);
    if (ready < 0 && errno != EINTR) {
      return base::Internal("poll: " + base::ErrnoText(errno));
    }
    if (abort.is_set()) return base::Aborted("aborted");
    if (ready > 0 && fds[0].revents != 0) return absl::OkStatus();
    if (Now() >= deadline) return base::DeadlineExceeded("no answer in time");
  }
}

absl::StatusOr<UniqueFd> Connect(const std::string& address, base::Time deadline,
                                 const AbortFlag& abort) {
  MUSTER_ASSIGN_OR_RETURN(const Resolved peer, Resolve(address));
  UniqueFd fd(socket(peer.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return base::ResourceExhausted("socket: " + base::ErrnoText(errno));
  TuneSocket(fd.get(), kLinkSilence);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer.address), peer.length) != 0 &&
      errno != EINPROGRESS) {
    return base::Unavailable("connect to " + address + ": " + base::ErrnoText(errno));
  }
  MUSTER_RETURN_IF_ERROR(
      base::Annotate(WaitReady(fd.get(), POLLOUT, deadline, abort), "connect to " + address));
  int error = 0;
  socklen_t length = sizeof(error);
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return base::Unavailable("connect to " + address + ": " + base::ErrnoText(error));
  return fd;
}

void TuneSocket(int fd, base::Duration silence) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  // What was sent and is not acknowledged is timed by TCP_USER_TIMEOUT; who only waits needs probes,
  // which the same option ends. A peer that computes, or is stopped, has a kernel that answers them.
  const int seconds = 1;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
  const auto milliseconds = static_cast<unsigned int>(
      std::chrono::duration_cast<std::chrono::milliseconds>(silence).count());
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof(milliseconds));
}

void AllowUnread(int fd) {
  const unsigned int never = 0;
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &never, sizeof(never));
}

void SetBuffers(int fd, int bytes) {
  if (bytes <= 0) return;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

}  // namespace muster::comm
