// The one file that includes cpprestsdk's client. Its rules, each learnt from the library's source
// or by measuring (docs/decisions/0006-kubernetes-client.md):
//   - its pool threads run the response sink and the continuations: nothing here blocks them
//   - its timeout restarts at every chunk and is one for the whole client: it is set out of the way,
//     and deadlines are kept by the thread that waits
//   - it has no bound on connections: permits are taken before a request
//   - it makes an SSL context for each connection: certificates are bytes that are ready
//   - it verifies and names (SNI) the host of the Host header, if there is one
//   - it sends a request again when a kept connection proves closed: creates have names of ours
#include "operator/kube/cpprest_transport.h"

#include <charconv>
#include <cstdlib>
#include <utility>  // before cpprest: its Boost forgets std::exchange's header under g++

#include "cpprest/http_client.h"
#include "operator/kube/exchange.h"
#include "operator/kube/line_splitter.h"
#include "operator/kube/tls.h"
#include "operator/runtime/bounded_queue.h"
#include "operator/runtime/clock.h"
#include "pplx/threadpool.h"

namespace muster::kube {
namespace {

namespace client = web::http::client;
using web::http::http_request;
using web::http::http_response;

constexpr int kPoolThreads = 4;
constexpr std::size_t kMostHeld = 1 << 20;
constexpr base::Duration kOutOfTheWay = std::chrono::hours(24);
// How late a stop may be seen by a caller that waits for a permit.
constexpr base::Duration kPermitPoll = std::chrono::milliseconds(20);
// Hands the response's bytes to the exchange. Only writing is possible.
class Sink final : public concurrency::streams::details::streambuf_state_manager<std::uint8_t> {
 public:
  using Base = concurrency::streams::details::streambuf_state_manager<std::uint8_t>;
  explicit Sink(std::shared_ptr<Exchange> exchange)
      : Base(std::ios_base::out), exchange_(std::move(exchange)) {}

 protected:
  pplx::task<std::size_t> _putn(const std::uint8_t* bytes, std::size_t count) override {
    const pplx::task_completion_event<std::size_t> room;
    const Exchange::Taken taken = exchange_->OnBytes({reinterpret_cast<const char*>(bytes), count},
                                                     [room, count] { room.set(count); });
    if (taken == Exchange::Taken::kPause) return pplx::create_task(room);
    if (taken == Exchange::Taken::kGoOn) return pplx::task_from_result(count);
    return pplx::task_from_exception<std::size_t>(
        web::http::http_exception("nobody reads the answer any more"));
  }
  pplx::task<int_type> _putc(std::uint8_t byte) override {
    return _putn(&byte, 1).then([byte](std::size_t) { return static_cast<int_type>(byte); });
  }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }

  // Nothing of what follows can happen to a buffer that is only written to.
  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  std::size_t buffer_size(std::ios_base::openmode) const override { return 0; }
  void set_buffer_size(std::size_t, std::ios_base::openmode) override {}
  std::size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode) const override { return pos_type(-1); }
  pos_type seekpos(pos_type, std::ios_base::openmode) override { return pos_type(-1); }
  pos_type seekoff(off_type, std::ios_base::seekdir, std::ios_base::openmode) override {
    return pos_type(-1);
  }
  bool acquire(std::uint8_t*&, std::size_t&) override { return false; }
  void release(std::uint8_t*, std::size_t) override {}
  pplx::task<int_type> _bumpc() override { return Nothing(); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return Nothing(); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return Nothing(); }
  pplx::task<int_type> _ungetc() override { return Nothing(); }
  pplx::task<std::size_t> _getn(std::uint8_t*, std::size_t) override {
    return pplx::task_from_result<std::size_t>(0);
  }
  std::size_t _scopy(std::uint8_t*, std::size_t) override { return 0; }
  std::uint8_t* _alloc(std::size_t) override { return nullptr; }
  void _commit(std::size_t) override {}

 private:
  static pplx::task<int_type> Nothing() { return pplx::task_from_result<int_type>(traits::eof()); }
  const std::shared_ptr<Exchange> exchange_;
};

std::optional<base::Duration> RetryAfter(const http_response& response) {
  const auto it = response.headers().find("Retry-After");
  if (it == response.headers().end()) return std::nullopt;
  const std::string& text = it->second;
  int seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  // The other spelling is a date, which API servers do not send.
  if (error != std::errc() || end != text.data() + text.size() || seconds < 0) return std::nullopt;
  return std::chrono::seconds(seconds);
}

// What has to outlive a request that its caller has given up.
struct Shared {
  explicit Shared(std::size_t permit_count)
      : permits(permit_count, runtime::WhenFull::kDropAndCount) {
    for (std::size_t i = 0; i < permit_count; ++i) permits.Push(true);
  }
  // Capacity: the number of permits, so that a push always finds room.
  runtime::BoundedQueue<bool> permits;
};

// Held by a request until the library is done with it, however long its caller has waited.
using Permit = std::shared_ptr<void>;

class CpprestTransport final : public HttpTransport {
 public:
  CpprestTransport(ClusterConfig config, CpprestOptions options)
      : config_(std::move(config)),
        options_(options),
        shared_(std::make_shared<Shared>(options.most_in_flight)) {}
  ~CpprestTransport() override {
    // What its callers gave up is cancelled and ends within milliseconds; a name that is being
    // looked up may take longer, and touches nothing of ours when it ends.
    const base::Time until = clock_.Now() + std::chrono::seconds(2);
    for (std::size_t i = 0; i < options_.most_in_flight; ++i) shared_->permits.PopUntil(until);
  }

  absl::StatusOr<HttpResponse> Send(const HttpRequest& request, std::stop_token stop) override;
  absl::StatusOr<HttpResponse> Stream(const HttpRequest& request, const OnLine& on_line,
                                      std::stop_token stop) override;

 private:
  // A request on its way.
  struct Flight {
    std::shared_ptr<Exchange> exchange;
    pplx::cancellation_token_source cancel;
    std::shared_ptr<const Access> access;
    base::Time begun;
  };

  absl::StatusOr<Permit> TakePermit(base::Time deadline, const std::stop_token& stop);
  absl::StatusOr<Flight> Begin(const HttpRequest& request, std::size_t most_bytes, Permit permit);
  std::shared_ptr<client::http_client> ClientFor(const std::shared_ptr<const Access>& access);
  // Connections that may be dead are not used again.
  void DropConnections();
  // The sentence for an exchange that ended before its time; `got_head`: the answer had begun.
  absl::Status GiveUp(Flight& flight, const HttpRequest& request, Exchange::Wake why,
                      bool got_head);
  void OnHead(const HttpRequest& request, const Flight& flight, int code);
  void Count(const HttpRequest& request, const Flight& flight, const std::string& code);
  std::string Where() const { return "the API server at " + config_.server; }

  const ClusterConfig config_;
  const CpprestOptions options_;
  const runtime::RealClock clock_;
  const std::shared_ptr<Shared> shared_;
  runtime::Mutex mutex_;
  std::shared_ptr<client::http_client> client_ MUSTER_GUARDED_BY(mutex_);
  std::shared_ptr<const Access> client_access_ MUSTER_GUARDED_BY(mutex_);
};

bool SameConnections(const Access& a, const Access& b) {
  return a.ca_pem == b.ca_pem && a.certificate_pem == b.certificate_pem && a.key_pem == b.key_pem;
}

std::shared_ptr<client::http_client> CpprestTransport::ClientFor(
    const std::shared_ptr<const Access>& access) {
  runtime::MutexLock lock(mutex_);
  if (client_ && SameConnections(*client_access_, *access)) return client_;
  client::http_client_config settings;
  settings.set_timeout(std::chrono::duration_cast<std::chrono::microseconds>(kOutOfTheWay));
  // A redirect would carry the token to another server.
  settings.set_max_redirects(0);
  settings.set_validate_certificates(!config_.insecure_skip_tls_verify);
  // An address is no name to ask for, and the standard forbids it.
  boost::system::error_code no_address;
  boost::asio::ip::make_address(web::uri(config_.server).host(), no_address);
  settings.set_tlsext_sni_enabled(no_address.failed() || !config_.tls_server_name.empty());
  settings.set_ssl_context_callback([access](boost::asio::ssl::context& context) {
    const absl::Status used = UseAccess(context.native_handle(), *access);
    if (!used.ok()) throw web::http::http_exception(base::Message(used));
  });
  client_ = std::make_shared<client::http_client>(web::uri(config_.server), settings);
  client_access_ = access;
  return client_;
}

void CpprestTransport::DropConnections() {
  runtime::MutexLock lock(mutex_);
  client_ = nullptr;
}

absl::StatusOr<Permit> CpprestTransport::TakePermit(base::Time deadline,
                                                    const std::stop_token& stop) {
  for (;;) {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    const base::Time now = clock_.Now();
    if (shared_->permits.PopUntil(std::min(deadline, now + kPermitPoll))) {
      return Permit(nullptr, [shared = shared_](void*) { shared->permits.Push(true); });
    }
    if (now >= deadline) {
      return base::DeadlineExceeded(std::to_string(options_.most_in_flight) + " requests to " +
                                    Where() + " are in flight; none has ended");
    }
  }
}

http_request MakeRequest(const HttpRequest& from, const ClusterConfig& config,
                         const Access& access) {
  constexpr const char* kNames[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
  http_request request(kNames[static_cast<int>(from.method)]);
  request.set_request_uri(web::uri(from.target));
  if (!from.body.empty()) {
    request.set_body(from.body, from.content_type.empty() ? "application/json" : from.content_type);
  }
  web::http::http_headers& headers = request.headers();
  headers.add("Accept", from.accept);
  headers.add("User-Agent", config.user_agent);
  if (!access.token.empty()) headers.add("Authorization", "Bearer " + access.token);
  if (!config.tls_server_name.empty()) headers.add("Host", config.tls_server_name);
  return request;
}

absl::StatusOr<CpprestTransport::Flight> CpprestTransport::Begin(const HttpRequest& from,
                                                                 std::size_t most_bytes,
                                                                 Permit permit) {
  MUSTER_ASSIGN_OR_RETURN(std::shared_ptr<const Access> access, config_.access->Current());
  Flight flight{std::make_shared<Exchange>(kMostHeld, most_bytes), {}, access, clock_.Now()};
  const std::shared_ptr<Exchange> exchange = flight.exchange;
  try {
    http_request request = MakeRequest(from, config_, *access);
    request.set_response_stream(concurrency::streams::ostream(
        concurrency::streams::streambuf<std::uint8_t>(std::make_shared<Sink>(exchange))));
    ClientFor(access)
        ->request(request, flight.cancel.get_token())
        .then([exchange](http_response response) {
          exchange->OnHead({response.status_code(), RetryAfter(response)});
          return response.content_ready();
        })
        .then([exchange, permit](pplx::task<http_response> ended) {
          try {
            ended.get();
            exchange->OnOver("");
          } catch (const std::exception& e) {
            exchange->OnOver(e.what());
          } catch (...) {
            exchange->OnOver("it ended without a reason");
          }
        });
  } catch (const std::exception& e) {
    return base::Unavailable("cannot ask " + Where() + ": " + e.what());
  }
  return flight;
}

void CpprestTransport::Count(const HttpRequest& request, const Flight& flight,
                             const std::string& code) {
  if (options_.metrics == nullptr) return;
  const std::string method(ToString(request.method));
  options_.metrics
      ->MakeCounter("rest_client_requests_total",
                    "Requests to the API server, by method and by the answer's code.",
                    {{"code", code}, {"method", method}})
      .Increment();
  options_.metrics
      ->MakeHistogram("rest_client_request_duration_seconds",
                      "From sending a request to the head of its answer.", runtime::SecondsBounds(),
                      {{"method", method}})
      .Observe(base::ToSeconds(clock_.Now() - flight.begun));
}

void CpprestTransport::OnHead(const HttpRequest& request, const Flight& flight, int code) {
  if (code == 401) config_.access->Refused(*flight.access);
  Count(request, flight, code >= 100 && code < 600 ? std::to_string(code) : "other");
}

absl::Status CpprestTransport::GiveUp(Flight& flight, const HttpRequest& request,
                                      Exchange::Wake why, bool got_head) {
  const std::string problem = flight.exchange->problem();
  flight.cancel.cancel();
  flight.exchange->Abandon();
  const std::string what(ToString(request.method));
  if (!got_head && why != Exchange::Wake::kStopped) Count(request, flight, "<error>");
  if (why == Exchange::Wake::kStopped) return absl::CancelledError("stopped");
  if (why == Exchange::Wake::kDeadline) {
    DropConnections();
    return base::DeadlineExceeded(Where() + (got_head ? " has fallen silent" : " does not answer"));
  }
  return base::Unavailable((got_head ? "the answer of " + Where() + " broke off: "
                                     : "no answer from " + Where() + ": ") +
                           problem);
}

absl::StatusOr<HttpResponse> CpprestTransport::Send(const HttpRequest& request,
                                                    std::stop_token stop) {
  const base::Time deadline = clock_.Now() + request.timeout;
  MUSTER_ASSIGN_OR_RETURN(Permit permit, TakePermit(deadline, stop));
  MUSTER_ASSIGN_OR_RETURN(Flight flight,
                          Begin(request, options_.most_body_bytes, std::move(permit)));
  Exchange& exchange = *flight.exchange;
  const std::stop_callback on_stop(stop, [&exchange] { exchange.OnStop(); });
  HttpResponse response;
  for (;;) {
    const Exchange::Wake wake = exchange.Wait(deadline);
    if (wake == Exchange::Wake::kHead) {
      response.code = exchange.head().code;
      response.retry_after = exchange.head().retry_after;
      OnHead(request, flight, response.code);
    } else if (wake == Exchange::Wake::kBytes) {
      response.body += exchange.TakeBytes();
    } else if (wake == Exchange::Wake::kOver && exchange.problem().empty()) {
      return response;
    } else {
      return GiveUp(flight, request, wake, response.code != 0);
    }
  }
}

absl::StatusOr<HttpResponse> CpprestTransport::Stream(const HttpRequest& request,
                                                      const OnLine& on_line, std::stop_token stop) {
  MUSTER_ASSIGN_OR_RETURN(Flight flight, Begin(request, 0, nullptr));
  Exchange& exchange = *flight.exchange;
  const std::stop_callback on_stop(stop, [&exchange] { exchange.OnStop(); });
  LineSplitter lines(options_.most_line_bytes);
  HttpResponse response;
  base::Time deadline = flight.begun + request.timeout;
  for (;;) {
    const Exchange::Wake wake = exchange.Wait(deadline);
    if (wake == Exchange::Wake::kHead) {
      response.code = exchange.head().code;
      response.retry_after = exchange.head().retry_after;
      OnHead(request, flight, response.code);
    } else if (wake == Exchange::Wake::kBytes) {
      const std::string bytes = exchange.TakeBytes();
      absl::StatusOr<bool> more = true;
      if (response.ok()) {
        more = lines.Feed(bytes, on_line);
      } else {
        response.body += bytes.substr(0, options_.most_line_bytes);
      }
      if (!more.ok() || !*more) {
        flight.cancel.cancel();
        exchange.Abandon();
        if (!more.ok()) return more.status();
        return response;
      }
    } else if (wake == Exchange::Wake::kOver && exchange.problem().empty()) {
      if (response.ok() && !lines.rest().empty()) on_line(lines.rest());
      return response;
    } else {
      return GiveUp(flight, request, wake, response.code != 0);
    }
    // Counted from when the caller asks again: its own slowness is not the server's silence.
    if (response.code != 0) deadline = clock_.Now() + request.idle_timeout;
  }
}

absl::Status CheckServer(const ClusterConfig& config, const Access& access) {
  const std::string named = "server '" + config.server + "'";
  if (!web::uri::validate(config.server)) return base::InvalidArgument(named + " is no URL");
  const web::uri uri(config.server);
  if ((uri.scheme() != "https" && uri.scheme() != "http") || uri.host().empty()) {
    return base::InvalidArgument(named + " is not https://HOST[:PORT][/PATH]");
  }
  if (uri.host().starts_with('[')) {
    return base::InvalidArgument(named +
                                 " is an IPv6 address, which the HTTP library cannot reach; "
                                 "write a name that leads to it");
  }
  const bool here = uri.host() == "127.0.0.1" || uri.host() == "localhost";
  if (uri.scheme() == "http" && !here && !access.token.empty()) {
    return base::InvalidArgument(named +
                                 " would be sent a token in the clear; only https:// gets one");
  }
  return absl::OkStatus();
}

}  // namespace

void PrepareProcessForHttps() {
  setenv("SSL_CERT_FILE", "/dev/null", 1);
  setenv("SSL_CERT_DIR", "/nonexistent", 1);
}

absl::StatusOr<std::unique_ptr<HttpTransport>> MakeCpprestTransport(ClusterConfig config,
                                                                    CpprestOptions options) {
  MUSTER_ASSIGN_OR_RETURN(const std::shared_ptr<const Access> access, config.access->Current());
  MUSTER_RETURN_IF_ERROR(CheckServer(config, *access));
  MUSTER_RETURN_IF_ERROR(CheckAccess(*access));
  try {
    crossplat::threadpool::initialize_with_threads(kPoolThreads);
  } catch (const std::exception&) {
    // Somebody was first (a listener of operator/runtime); the pool keeps its size.
  }
  return std::unique_ptr<HttpTransport>(
      std::make_unique<CpprestTransport>(std::move(config), options));
}

}  // namespace muster::kube
