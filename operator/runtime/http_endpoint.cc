#include "operator/runtime/http_endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <exception>
#include <utility>  // before cpprest: its Boost forgets std::exchange's header under g++

#include "cpprest/http_listener.h"
#include "pplx/threadpool.h"

namespace muster::runtime {
namespace {

using web::http::http_request;
using web::http::status_codes;

// cpprest cannot be asked which port it got, and its error for a taken one names nothing. So a
// plain socket is bound first, to choose the port or to find out that it is taken, and closed
// again. Whoever takes the port in between makes open() fail, which is reported as well.
absl::StatusOr<int> ChoosePort(const std::string& host, int port) {
  if (port < 0 || port > 65535) {
    return base::InvalidArgument("port " + std::to_string(port) + " is not in 0..65535");
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    return base::InvalidArgument("listen address '" + host + "' is not an IPv4 address");
  }
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return base::Unavailable("cannot make a socket: " + base::ErrnoText(errno));
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  socklen_t size = sizeof(address);
  int error = 0;
  // listen() too: with SO_REUSEADDR a bind beside another bound socket may succeed, a listen does
  // not.
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd, 1) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    error = errno;
  }
  close(fd);
  const std::string where = "port " + std::to_string(port) + " of " + host;
  if (error == EADDRINUSE) {
    return base::AlreadyExists(
        where + " is taken by another program; choose another, or 0 for any free one");
  }
  if (error != 0)
    return base::Unavailable("cannot listen on " + where + ": " + base::ErrnoText(error));
  return ntohs(address.sin_port);
}

void Answer(const http_request& request, web::http::status_code code, const std::string& body,
            const char* type) {
  request.reply(code, body, type).then([](pplx::task<void> sent) {
    try {
      sent.get();
    } catch (const std::exception&) {
      // The asker has gone; there is nobody to tell.
    }
  });
}

}  // namespace

struct HttpEndpoint::Listener {
  Listener(Options o, int chosen)
      : options(std::move(o)),
        port(chosen),
        http("http://" + options.host + ":" + std::to_string(chosen) + "/") {
    http.support([this](const http_request& request) {
      try {
        Serve(request);
      } catch (const std::exception& e) {
        Answer(request, status_codes::InternalError, std::string(e.what()) + "\n", kPlain);
      }
    });
  }

  void Serve(const http_request& request) {
    const auto& method = request.method();
    const std::string path = request.request_uri().path();
    if (method != web::http::methods::GET && method != web::http::methods::HEAD) {
      return Answer(request, status_codes::MethodNotAllowed, "only GET is answered here\n", kPlain);
    }
    if (path == "/healthz") return Answer(request, status_codes::OK, "ok\n", kPlain);
    if (path == "/readyz") {
      const absl::Status ready = options.ready ? options.ready() : absl::OkStatus();
      if (ready.ok()) return Answer(request, status_codes::OK, "ok\n", kPlain);
      return Answer(request, status_codes::ServiceUnavailable, base::Message(ready) + "\n", kPlain);
    }
    if (path == "/metrics" && options.metrics) {
      return Answer(request, status_codes::OK, options.metrics(),
                    "text/plain; version=0.0.4; charset=utf-8");
    }
    if (!options.json_path.empty() && path == options.json_path && options.json) {
      return Answer(request, status_codes::OK, options.json(), "application/json");
    }
    std::string pages = "/healthz, /readyz";
    if (options.metrics) pages += ", /metrics";
    if (options.json) pages += ", " + options.json_path;
    Answer(request, status_codes::NotFound, "no such page; there are " + pages + "\n", kPlain);
  }

  static constexpr char kPlain[] = "text/plain; charset=utf-8";
  const Options options;
  const int port;
  web::http::experimental::listener::http_listener http;
};

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Create(Options options) {
  MUSTER_ASSIGN_OR_RETURN(const int port, ChoosePort(options.host, options.port));
  try {
    // The default pool has 40 threads; whoever sized it before us (operator/kube) keeps its size.
    crossplat::threadpool::initialize_with_threads(2);
  } catch (const std::exception&) {
  }
  const std::string where = options.host + ":" + std::to_string(port);
  try {
    auto listener = std::make_unique<Listener>(std::move(options), port);
    listener->http.open().get();
    return std::unique_ptr<HttpEndpoint>(new HttpEndpoint(std::move(listener)));
  } catch (const std::exception& e) {
    return base::Unavailable("cannot listen on " + where + ": " + e.what());
  }
}

HttpEndpoint::HttpEndpoint(std::unique_ptr<Listener> listener) : listener_(std::move(listener)) {}

HttpEndpoint::~HttpEndpoint() {
  try {
    listener_->http.close().get();
  } catch (const std::exception&) {
    // It is closed all the same; a destructor has nobody to tell.
  }
}

int HttpEndpoint::port() const { return listener_->port; }

}  // namespace muster::runtime
