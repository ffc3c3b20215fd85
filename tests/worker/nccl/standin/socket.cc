#include "tests/worker/nccl/standin/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace muster::standin {
namespace {

// How soon a stop is seen, when nothing else happens.
constexpr int kLookMilliseconds = 10;

sockaddr_in Loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int NewSocket() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -1;
  const int on = 1;
  (void)::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return descriptor;
}

bool IsLater(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }
bool IsGone(int error) { return error == ECONNRESET || error == EPIPE || error == ETIMEDOUT; }

Flow FlowOfError(int error) {
  if (error == ECONNREFUSED) return Flow::kRefused;
  return IsGone(error) ? Flow::kClosed : Flow::kFailed;
}

// Done: `events` are there, or an error that the next call will tell.
Flow WaitFor(int descriptor, short events, const Patience& patience) {
  while (true) {
    if (patience.stop != nullptr && patience.stop->load()) return Flow::kStopped;
    if (std::chrono::steady_clock::now() >= patience.until) return Flow::kStopped;
    const int beside = patience.beside == nullptr ? -1 : patience.beside->descriptor();
    // poll leaves a negative descriptor out.
    pollfd polled[2] = {{descriptor, events, 0}, {beside, POLLRDHUP, 0}};
    const int ready = ::poll(polled, 2, kLookMilliseconds);
    if (ready < 0 && errno != EINTR) return Flow::kFailed;
    if (ready <= 0) continue;
    if (polled[0].revents != 0) return Flow::kDone;
    if (polled[1].revents != 0) return Flow::kClosed;
  }
}

}  // namespace

void Socket::Close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

Flow Listen(Socket* listener, std::uint16_t* port) {
  *listener = Socket(NewSocket());
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  const int descriptor = listener->descriptor();
  if (descriptor < 0 || ::bind(descriptor, raw, size) != 0 ||
      ::listen(descriptor, SOMAXCONN) != 0 || ::getsockname(descriptor, raw, &size) != 0) {
    return Flow::kFailed;
  }
  *port = ntohs(address.sin_port);
  return Flow::kDone;
}

Flow Connect(std::uint16_t port, const Patience& patience, Socket* out) {
  Socket socket(NewSocket());
  if (socket.descriptor() < 0) return Flow::kFailed;
  const sockaddr_in address = Loopback(port);
  const auto* const raw = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(socket.descriptor(), raw, sizeof address) != 0) {
    if (errno != EINPROGRESS && errno != EINTR) return FlowOfError(errno);
    const Flow waited = WaitFor(socket.descriptor(), POLLOUT, patience);
    if (waited != Flow::kDone) return waited;
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket.descriptor(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
      return Flow::kFailed;
    }
    if (error != 0) return FlowOfError(error);
  }
  *out = std::move(socket);
  return Flow::kDone;
}

Flow Accept(const Socket& listener, const Patience& patience, Socket* out) {
  while (true) {
    const int descriptor =
        ::accept4(listener.descriptor(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor >= 0) {
      const int on = 1;
      (void)::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      *out = Socket(descriptor);
      return Flow::kDone;
    }
    if (!IsLater(errno) && errno != ECONNABORTED) return Flow::kFailed;
    const Flow waited = WaitFor(listener.descriptor(), POLLIN, patience);
    if (waited != Flow::kDone) return waited;
  }
}

Flow Send(const Socket& to, const void* bytes, std::size_t count, const Patience& patience) {
  const char* at = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t sent = ::send(to.descriptor(), at, count, MSG_NOSIGNAL);
    if (sent >= 0) {
      at += sent;
      count -= static_cast<std::size_t>(sent);
      continue;
    }
    if (!IsLater(errno)) return FlowOfError(errno);
    const Flow waited = WaitFor(to.descriptor(), POLLOUT, patience);
    if (waited != Flow::kDone) return waited;
  }
  return Flow::kDone;
}

Flow Receive(const Socket& from, void* bytes, std::size_t count, const Patience& patience) {
  char* at = static_cast<char*>(bytes);
  while (count > 0) {
    const ssize_t got = ::recv(from.descriptor(), at, count, 0);
    if (got == 0) return Flow::kClosed;
    if (got > 0) {
      at += got;
      count -= static_cast<std::size_t>(got);
      continue;
    }
    if (!IsLater(errno)) return FlowOfError(errno);
    const Flow waited = WaitFor(from.descriptor(), POLLIN, patience);
    if (waited != Flow::kDone) return waited;
  }
  return Flow::kDone;
}

}  // namespace muster::standin
