// A small HTTP listener: /metrics, /healthz, /readyz, and one page of JSON if asked for.
//
// prometheus-cpp's own exposer knows no /healthz and takes 2 s to stop; this one stops within 100
// ms. The callbacks run on a thread of the HTTP library, several at once, and must be quick.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "operator/base/status.h"

namespace muster::runtime {

class HttpEndpoint final {
 public:
  struct Options {
    std::string host = "127.0.0.1";  // an address of this machine; 0.0.0.0: all of them
    int port = 0;                    // 0: any free one
    std::function<std::string()> metrics = nullptr;  // text format; none: /metrics is 404
    std::function<absl::Status()> ready =
        nullptr;                 // not OK: 503 with its sentence; none: always ready
    std::string json_path = {};  // for example "/status"; empty: no such page
    std::function<std::string()> json = nullptr;
  };
  // AlreadyExists names the port when another program listens on it.
  static absl::StatusOr<std::unique_ptr<HttpEndpoint>> Create(Options options);
  // Stops listening; a request in progress is finished first. cpprest 2.10.18 drops its acceptor
  // without a lock: a connection that it takes in this very moment can crash the process, so an
  // endpoint lives as long as its program and is not closed while it is asked.
  ~HttpEndpoint();
  HttpEndpoint(const HttpEndpoint&) = delete;
  HttpEndpoint& operator=(const HttpEndpoint&) = delete;

  int port() const;

 private:
  struct Listener;
  explicit HttpEndpoint(std::unique_ptr<Listener> listener);
  std::unique_ptr<Listener> listener_;
};

}  // namespace muster::runtime
