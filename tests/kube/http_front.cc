#include "tests/kube/http_front.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "tests/kube/http_message.h"

namespace muster::kubetest {
namespace {

bool SendAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool HasGone(int fd) {
  pollfd poll_fd{fd, POLLRDHUP, 0};
  return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpFront>> HttpFront::Listen(ApiDouble& api) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(fd, 128) != 0 || getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return base::Unavailable("cannot listen on 127.0.0.1: " + base::ErrnoText(error));
  }
  return std::unique_ptr<HttpFront>(new HttpFront(api, fd, ntohs(address.sin_port)));
}

HttpFront::HttpFront(ApiDouble& api, int fd, int port) : api_(api), listener_(fd), port_(port) {
  accepting_ = std::jthread([this] { Accept(); });
}

HttpFront::~HttpFront() {
  closing_ = true;
  api_.Close();
  shutdown(listener_, SHUT_RDWR);
  accepting_.join();
  close(listener_);
  std::list<Connection> connections;
  {
    runtime::MutexLock lock(mutex_);
    CutAll();
    connections.swap(connections_);
  }
  for (Connection& connection : connections) {
    connection.thread.join();
    close(connection.fd);
  }
}

void HttpFront::SetAway(bool away) {
  away_ = away;
  if (!away) return;
  runtime::MutexLock lock(mutex_);
  CutAll();
}

void HttpFront::CutAll() {
  for (Connection& connection : connections_) shutdown(connection.fd, SHUT_RDWR);
}

void HttpFront::Accept() {
  while (!closing_) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return;
    }
    if (away_) {
      close(fd);
      continue;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    runtime::MutexLock lock(mutex_);
    for (auto at = connections_.begin(); at != connections_.end();) {
      if (!at->over) {
        ++at;
        continue;
      }
      at->thread.join();
      close(at->fd);
      at = connections_.erase(at);
    }
    Connection& connection = connections_.emplace_back();
    connection.fd = fd;
    connection.thread = std::jthread([this, &connection] { Serve(connection); });
  }
}

void HttpFront::Serve(Connection& connection) {
  std::string buffer;
  while (!closing_ && ServeOne(connection, buffer)) {
  }
  shutdown(connection.fd, SHUT_RDWR);
  connection.over = true;
}

bool HttpFront::ServeOne(Connection& connection, std::string& buffer) {
  bool broken = false;
  std::optional<Request> request = TakeRequest(buffer, &broken);
  while (!request && !broken) {
    char bytes[16384];
    const ssize_t n = recv(connection.fd, bytes, sizeof(bytes), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    buffer.append(bytes, static_cast<std::size_t>(n));
    request = TakeRequest(buffer, &broken);
  }
  if (broken || away_) return false;
  auto outcome = api_.Serve(*request);
  if (auto* stream = std::get_if<std::shared_ptr<WatchStream>>(&outcome)) {
    return Stream(connection, **stream);
  }
  const auto& served = std::get<ApiDouble::Served>(outcome);
  if (served.ending == ApiDouble::Served::Ending::kNoAnswer) return false;
  std::string text = AnswerText(served.answer);
  if (served.ending == ApiDouble::Served::Ending::kWhole) return SendAll(connection.fd, text);
  // In the middle of the body, whatever its length.
  const std::size_t body = text.find("\r\n\r\n") + 4;
  text.resize(body + (text.size() - body) / 2);
  SendAll(connection.fd, text);
  return false;
}

bool HttpFront::Stream(Connection& connection, WatchStream& stream) {
  using What = WatchStream::Item::What;
  if (!SendAll(connection.fd, ChunkedHead())) return false;
  while (!closing_ && !HasGone(connection.fd)) {
    const auto soon = runtime::RealClock().Now() + std::chrono::milliseconds(200);
    const WatchStream::Item item = stream.Next(soon);
    switch (item.what) {
      case What::kNothing:
        break;
      case What::kLine:
        if (!SendAll(connection.fd, Chunk(item.line + "\n"))) return false;
        break;
      case What::kBreak:
        SendAll(connection.fd, Chunk(item.line));
        return false;
      case What::kEnd:
        return SendAll(connection.fd, kLastChunk);
    }
  }
  return false;
}

}  // namespace muster::kubetest
