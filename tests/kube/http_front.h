// The double behind a socket: HTTP/1.1 on 127.0.0.1, port 0, one thread for each connection.
//
// It is written on sockets and not on an HTTP library because half of what it is for is to break
// HTTP: to close without an answer, in the middle of a body, in the middle of a line of a watch.
// Keeps connections, reads bodies with a Content-Length or in chunks, streams watches in chunks.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "operator/base/status.h"
#include "operator/runtime/mutex.h"
#include "tests/kube/api_double.h"

namespace muster::kubetest {

class HttpFront final {
 public:
  // `api` outlives it.
  static absl::StatusOr<std::unique_ptr<HttpFront>> Listen(ApiDouble& api);
  ~HttpFront();  // closes every connection, and the double's watches
  HttpFront(const HttpFront&) = delete;
  HttpFront& operator=(const HttpFront&) = delete;

  int port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  // An API server that is away: connections are cut, new ones refused by closing them at once.
  void SetAway(bool away);

 private:
  struct Connection {
    int fd = -1;
    std::atomic<bool> over = false;
    std::jthread thread;
  };
  HttpFront(ApiDouble& api, int fd, int port);
  void Accept();
  void Serve(Connection& connection);
  bool ServeOne(Connection& connection, std::string& buffer);
  bool Stream(Connection& connection, WatchStream& stream);
  void CutAll() MUSTER_REQUIRES(mutex_);

  ApiDouble& api_;
  const int listener_;
  const int port_;
  std::atomic<bool> closing_ = false;
  std::atomic<bool> away_ = false;
  runtime::Mutex mutex_;
  std::list<Connection> connections_ MUSTER_GUARDED_BY(mutex_);
  std::jthread accepting_;
};

}  // namespace muster::kubetest
