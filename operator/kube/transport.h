// The seam to HTTP: one exchange, or one stream of lines. Everything above speaks in these values.
//
// Safe from every thread; both calls block their caller and no other thread. A stop_token that is
// asked to stop ends them at once with Cancelled.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::kube {

enum class Method { kGet, kPost, kPut, kPatch, kDelete };
std::string_view ToString(Method method);

struct HttpRequest {
  Method method = Method::kGet;
  std::string target;  // path and query below the server's own path, percent-encoded
  std::string body;
  std::string content_type;  // of the body; empty: none
  std::string accept = "application/json";
  // Send: for the whole exchange, waiting for a place included. Stream: until the headers are
  // there.
  base::Duration timeout = std::chrono::seconds(15);
  // Stream: nothing came for so long, and the connection counts as dead.
  base::Duration idle_timeout = std::chrono::seconds(90);
};

struct HttpResponse {
  int code = 0;
  std::string body;
  std::optional<base::Duration> retry_after;
  bool ok() const { return code >= 200 && code < 300; }
};

// Without its line break. False: enough, the stream is closed and Stream() returns its code.
using OnLine = std::function<bool(std::string_view line)>;

class HttpTransport {
 public:
  virtual ~HttpTransport() = default;

  // Any answer is a response, 500 too. Unavailable: none came, and it is not known whether the
  // server has acted. DeadlineExceeded: none within the timeout. Cancelled: stopped.
  virtual absl::StatusOr<HttpResponse> Send(const HttpRequest& request, std::stop_token stop) = 0;

  // `on_line` is called on the caller's thread, for each line of a 2xx answer; it may take its
  // time, the server then waits. Returns the response, its body empty, when the server has ended it
  // well. Not 2xx: the whole response, and no line. Unavailable: it broke off in the middle.
  // DeadlineExceeded: no headers in time, or silence for idle_timeout. ResourceExhausted: a line
  // longer than the transport keeps.
  virtual absl::StatusOr<HttpResponse> Stream(const HttpRequest& request, const OnLine& on_line,
                                              std::stop_token stop) = 0;
};

}  // namespace muster::kube
