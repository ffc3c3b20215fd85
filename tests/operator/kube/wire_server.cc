#include "tests/operator/kube/wire_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <optional>

#include "operator/base/check.h"
#include "operator/kube/tls.h"

namespace muster::kube {
namespace {

constexpr int kTick = 10;  // ms, in which an ending server is noticed

class Connection final : public WireConnection {
 public:
  Connection(int fd, SSL_CTX* tls, const std::atomic<bool>& ending) : fd_(fd), ending_(ending) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (tls == nullptr) return;
    ssl_ = SSL_new(tls);
    SSL_set_fd(ssl_, fd);
  }
  ~Connection() override {
    if (ssl_ != nullptr) SSL_free(ssl_);
  }
  bool Begin() { return ssl_ == nullptr || SSL_accept(ssl_) == 1; }

  bool Write(const std::string& bytes) override {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const auto left = static_cast<int>(std::min<std::size_t>(bytes.size() - sent, 1 << 16));
      const auto size = ssl_ != nullptr
                            ? SSL_write(ssl_, bytes.data() + sent, left)
                            : static_cast<int>(send(fd_, bytes.data() + sent,
                                                    static_cast<std::size_t>(left), MSG_NOSIGNAL));
      if (size <= 0) return false;
      sent += static_cast<std::size_t>(size);
    }
    return true;
  }

  bool Sleep(base::Duration wait) override {
    for (base::Duration slept{0}; slept < wait; slept += std::chrono::milliseconds(kTick)) {
      if (ending_) return false;
      pollfd gone{fd_, POLLRDHUP, 0};
      if (poll(&gone, 1, kTick) > 0) return false;
    }
    return true;
  }

  // Nothing: the connection is over.
  std::optional<WireRequest> ReadRequest() {
    std::size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!ReadMore()) return std::nullopt;
    }
    WireRequest request = ParseHead(buffer_.substr(0, end));
    buffer_.erase(0, end + 4);
    const std::size_t size = request.headers.contains("content-length")
                                 ? std::stoul(request.headers["content-length"])
                                 : 0;
    while (buffer_.size() < size) {
      if (!ReadMore()) return std::nullopt;
    }
    request.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    if (ssl_ != nullptr) AddNames(request);
    return request;
  }

 private:
  bool ReadMore() {
    char piece[16384];
    for (;;) {
      pollfd readable{fd_, POLLIN, 0};
      const bool ready =
          (ssl_ != nullptr && SSL_pending(ssl_) > 0) || poll(&readable, 1, kTick) > 0;
      if (ending_) return false;
      if (!ready) continue;
      const int size = ssl_ != nullptr ? SSL_read(ssl_, piece, sizeof(piece))
                                       : static_cast<int>(recv(fd_, piece, sizeof(piece), 0));
      if (size <= 0) return false;
      buffer_.append(piece, static_cast<std::size_t>(size));
      return true;
    }
  }

  static WireRequest ParseHead(const std::string& head) {
    WireRequest request;
    std::size_t begin = 0;
    while (begin < head.size()) {
      const std::size_t end = std::min(head.find("\r\n", begin), head.size());
      const std::string line = head.substr(begin, end - begin);
      if (begin == 0) {
        const std::size_t space = line.find(' ');
        request.method = line.substr(0, space);
        request.target = line.substr(space + 1, line.rfind(' ') - space - 1);
      } else {
        const std::size_t colon = line.find(':');
        std::string name = line.substr(0, colon);
        std::transform(name.begin(), name.end(), name.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        const std::size_t value = line.find_first_not_of(' ', colon + 1);
        request.headers[name] = value == std::string::npos ? "" : line.substr(value);
      }
      begin = end + 2;
    }
    return request;
  }

  void AddNames(WireRequest& request) {
    if (const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name)) {
      request.server_name = name;
    }
    if (X509* peer = SSL_get1_peer_certificate(ssl_)) {
      char name[256] = "";
      X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, name, sizeof(name));
      request.peer = name;
      X509_free(peer);
    }
  }

  const int fd_;
  const std::atomic<bool>& ending_;
  SSL* ssl_ = nullptr;
  std::string buffer_;
};

}  // namespace

bool WireConnection::WriteHead(int code, const std::string& headers) {
  return Write("HTTP/1.1 " + std::to_string(code) + " x\r\n" + headers + "\r\n");
}

bool WireConnection::WriteChunk(const std::string& bytes) {
  char size[20];
  snprintf(size, sizeof(size), "%zx\r\n", bytes.size());
  return Write(size + bytes + "\r\n");
}

bool WireConnection::Reply(int code, const std::string& body, const std::string& headers) {
  return WriteHead(code, headers + "Content-Length: " + std::to_string(body.size()) + "\r\n") &&
         Write(body);
}

WireServer::WireServer(WireHandler handler, const Tls* tls) : handler_(std::move(handler)) {
  signal(SIGPIPE, SIG_IGN);  // a client that has gone is a failed write
  if (tls != nullptr) {
    tls_ = SSL_CTX_new(TLS_server_method());
    const absl::Status used = UseAccess(
        tls_, {tls->client_ca_pem.empty() ? tls->identity.certificate_pem : tls->client_ca_pem,
               tls->identity.certificate_pem, tls->identity.key_pem, ""});
    MUSTER_CHECK(used.ok(), base::Message(used));
    if (!tls->client_ca_pem.empty()) {
      SSL_CTX_set_verify(tls_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
  }
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  MUSTER_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                   listen(listener_, 128) == 0 &&
                   getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0,
               "a port of the loopback interface cannot be had");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

WireServer::~WireServer() {
  ending_ = true;
  acceptor_.join();
  CutAll();
  for (std::thread& thread : threads_) thread.join();
  close(listener_);
  if (tls_ != nullptr) SSL_CTX_free(tls_);
}

std::string WireServer::url() const {
  return (tls_ != nullptr ? "https" : "http") + std::string("://127.0.0.1:") +
         std::to_string(port_);
}

void WireServer::CutAll() {
  const std::lock_guard lock(mutex_);
  for (const int fd : fds_) shutdown(fd, SHUT_RDWR);
}

void WireServer::Accept() {
  while (!ending_) {
    pollfd waiting{listener_, POLLIN, 0};
    if (poll(&waiting, 1, kTick) <= 0) continue;
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::lock_guard lock(mutex_);
    fds_.push_back(fd);
    threads_.emplace_back([this, fd, number = connections_++] { Serve(fd, number); });
  }
}

void WireServer::Serve(int fd, int number) {
  ++open_;
  {
    Connection connection(fd, tls_, ending_);
    if (connection.Begin()) {
      while (std::optional<WireRequest> request = connection.ReadRequest()) {
        request->connection = number;
        if (!handler_(*request, connection)) break;
      }
    }
  }
  {
    const std::lock_guard lock(mutex_);
    fds_.erase(std::find(fds_.begin(), fds_.end(), fd));
  }
  close(fd);
  --open_;
}

}  // namespace muster::kube
