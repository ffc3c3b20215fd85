#include "tests/kube/transport.h"

#include <charconv>

namespace muster::kubetest {
namespace {

std::string MethodOf(kube::Method method) {
  switch (method) {
    case kube::Method::kGet:
      return "GET";
    case kube::Method::kPost:
      return "POST";
    case kube::Method::kPut:
      return "PUT";
    case kube::Method::kPatch:
      return "PATCH";
    case kube::Method::kDelete:
      return "DELETE";
  }
  return "";
}

kube::HttpResponse ResponseOf(const Answer& answer) {
  kube::HttpResponse response;
  response.code = answer.code;
  response.body = answer.body.is_string()
                      ? answer.body.get<std::string>()
                      : answer.body.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (const auto at = answer.headers.find("Retry-After"); at != answer.headers.end()) {
    int seconds = 0;
    std::from_chars(at->second.data(), at->second.data() + at->second.size(), seconds);
    response.retry_after = std::chrono::seconds(seconds);
  }
  return response;
}

}  // namespace

Request DoubleTransport::Translated(const kube::HttpRequest& request) const {
  Request out;
  out.method = MethodOf(request.method);
  SetTarget(out, request.target);
  out.content_type = request.content_type;
  out.user_agent = user_;
  out.body = request.body;
  return out;
}

absl::StatusOr<kube::HttpResponse> DoubleTransport::Send(const kube::HttpRequest& request,
                                                         std::stop_token stop) {
  if (stop.stop_requested()) return absl::CancelledError("stopped");
  const auto outcome = api_.Serve(Translated(request));
  const auto* served = std::get_if<ApiDouble::Served>(&outcome);
  if (served == nullptr) return base::Internal("a watch is asked for by Stream");
  if (served->ending != ApiDouble::Served::Ending::kWhole) {
    return base::Unavailable("the connection closed before the answer was whole");
  }
  return ResponseOf(served->answer);
}

absl::StatusOr<kube::HttpResponse> DoubleTransport::Stream(const kube::HttpRequest& request,
                                                           const kube::OnLine& on_line,
                                                           std::stop_token stop) {
  using What = WatchStream::Item::What;
  auto outcome = api_.Serve(Translated(request));
  if (const auto* served = std::get_if<ApiDouble::Served>(&outcome)) {
    if (served->ending != ApiDouble::Served::Ending::kWhole) {
      return base::Unavailable("the connection closed before the answer was whole");
    }
    return ResponseOf(served->answer);
  }
  WatchStream& stream = *std::get<std::shared_ptr<WatchStream>>(outcome);
  const runtime::RealClock clock;
  base::Time idle_until = clock.Now() + request.idle_timeout;
  while (!stop.stop_requested()) {
    const auto soon = clock.Now() + std::chrono::milliseconds(5);
    const WatchStream::Item item = stream.Next(std::min(soon, idle_until));
    if (item.what == What::kEnd) return kube::HttpResponse{200, "", {}};
    if (item.what == What::kBreak) return base::Unavailable("the stream broke off");
    if (item.what == What::kLine) {
      if (!on_line(item.line)) return kube::HttpResponse{200, "", {}};
      idle_until = clock.Now() + request.idle_timeout;
    } else if (clock.Now() >= idle_until) {
      return base::DeadlineExceeded("nothing came on the stream");
    }
  }
  return absl::CancelledError("stopped");
}

}  // namespace muster::kubetest
