#include "tests/worker/rpc/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

#include "gtest/gtest.h"

namespace muster::rpc {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void Reset(int fd) {
  const linger now{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  close(fd);
}

}  // namespace

LoopbackSocket::LoopbackSocket(Kind kind, int port)
    : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const int on = 1;
  if (kind == Kind::kReserved) setsockopt(fd_, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  sockaddr_in address = Loopback(port);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  port_ = ntohs(address.sin_port);
  if (kind == Kind::kListening) {
    EXPECT_EQ(listen(fd_, 64), 0);
  }
}

LoopbackSocket::~LoopbackSocket() { close(fd_); }

Relay::Relay(int target_port)
    : target_port_(target_port),
      listener_(LoopbackSocket::Kind::kListening),
      thread_([this](std::stop_token stop) { Loop(stop); }) {}

Relay::~Relay() {
  thread_.request_stop();
  thread_.join();
  ResetAll();
}

void Relay::ResetAll() {
  std::lock_guard lock(mutex_);
  for (const Pair& pair : pairs_) {
    Reset(pair.client);
    Reset(pair.server);
  }
  pairs_.clear();
}

void Relay::Loop(std::stop_token stop) {
  while (!stop.stop_requested()) {
    std::vector<pollfd> ready = {{listener_.fd(), POLLIN, 0}};
    {
      std::lock_guard lock(mutex_);
      for (const Pair& pair : pairs_) {
        ready.push_back({pair.client, POLLIN, 0});
        ready.push_back({pair.server, POLLIN, 0});
      }
    }
    if (stalled_) ready.resize(1);
    poll(ready.data(), ready.size(), 2);
    std::lock_guard lock(mutex_);
    if (ready[0].revents != 0) Accept();
    if (stalled_) continue;
    std::erase_if(pairs_, [this](const Pair& pair) {
      if (Pass(pair.client, pair.server) && Pass(pair.server, pair.client)) return false;
      close(pair.client);
      close(pair.server);
      return true;
    });
  }
}

void Relay::Accept() {
  const int client = accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC);
  ++accepted_;
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(target_port_);
  const int on = 1;
  for (int fd : {client, server}) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    pairs_.push_back({client, server});
  } else {
    close(client);
    close(server);
  }
}

bool Relay::Pass(int from, int to) {
  char buffer[65536];
  const ssize_t got = recv(from, buffer, sizeof(buffer), MSG_DONTWAIT);
  if (got == 0) return false;
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t n = send(to, buffer + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += n;
  }
  return true;
}

}  // namespace muster::rpc
