#include "tests/kube/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <utility>

namespace muster::kubetest {

RawClient::RawClient(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval patience{20, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  closed_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0;
}

RawClient::~RawClient() { close(fd_); }

void RawClient::Send(const std::string& text) {
  closed_ = send(fd_, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size());
}

std::string RawClient::ReadUntil(const std::string& until) {
  while (!closed_ && (until.empty() || buffer_.find(until) == std::string::npos)) {
    char bytes[4096];
    const ssize_t n = recv(fd_, bytes, sizeof(bytes), 0);
    if (n <= 0) {
      closed_ = true;
    } else {
      buffer_.append(bytes, static_cast<std::size_t>(n));
    }
  }
  return std::exchange(buffer_, "");
}

}  // namespace muster::kubetest
