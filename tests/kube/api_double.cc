#include "tests/kube/api_double.h"

#include <charconv>
#include <utility>

namespace muster::kubetest {
namespace {

bool IsWatch(const Request& request) {
  const auto at = request.query.find("watch");
  return at != request.query.end() && (at->second == "1" || at->second == "true");
}

std::string VerbOf(const Route& route, const Request& request) {
  if (request.method == "GET") {
    if (!route.name.empty()) return "get";
    return IsWatch(request) ? "watch" : "list";
  }
  if (request.method == "POST") return "create";
  if (request.method == "PUT") return "update";
  if (request.method == "PATCH") return "patch";
  return route.name.empty() ? "deletecollection" : "delete";
}

// Of an object that is created the name is in the body.
std::string NameIn(const Route& route, const Request& request) {
  if (!route.name.empty() || request.method != "POST") return route.name;
  const Json body = Json::parse(request.body, nullptr, false);
  return body.is_object() ? body.value(Json::json_pointer("/metadata/name"), "") : "";
}

Answer NoSuchPage() {
  return Refusal(404, "NotFound", "the server could not find the requested resource");
}

}  // namespace

std::string ToString(const WriteRecord& write) {
  std::string text = std::to_string(write.number) + " " + write.verb + " " + write.resource;
  if (!write.subresource.empty()) text += "/" + write.subresource;
  text += " " + (write.ns.empty() ? "" : write.ns + "/") + write.name;
  return text + " by " + write.manager + ": " + std::to_string(write.code) +
         (write.changed ? "" : ", nothing changed");
}

ApiDouble::ApiDouble(Options options, const runtime::Clock& clock) : core_(options.window, clock) {
  for (const char* ns : {"default", "kube-system"}) {
    Ask("POST", "/api/v1/namespaces", {{"metadata", {{"name", ns}}}});
  }
}

std::variant<ApiDouble::Served, std::shared_ptr<WatchStream>> ApiDouble::Serve(
    const Request& request) {
  Served served;
  std::optional<WriteRecord> written;
  std::function<void(const WriteRecord&)> after;
  {
    runtime::MutexLock lock(mutex_);
    const auto route = ParsePath(request.path);
    if (!route) return Served{Page(request).value_or(NoSuchPage())};
    const std::string verb = VerbOf(*route, request);
    const Occasion occasion{verb, std::string(route->kind->plural), NameIn(*route, request),
                            route->subresource, ""};
    std::optional<FaultAction> fault;
    if (const FaultAction* action = faults_.Next(occasion)) fault = *action;
    if (const auto* delay = fault ? std::get_if<Delay>(&*fault) : nullptr) WaitFor(delay->by);
    const auto* refused = fault ? std::get_if<AnswerWith>(&*fault) : nullptr;
    if (refused == nullptr && verb == "watch") return OpenWatch(*route, request);
    if (fault && std::holds_alternative<LoseRequest>(*fault)) {
      return Served{{}, Served::Ending::kNoAnswer};
    }

    const std::uint64_t version = core_.history.version();
    if (refused != nullptr) {
      served.answer = Refusal(refused->code, ReasonOf(refused->code), "a rule of the test says so");
      if (refused->retry_after_seconds > 0) {
        served.answer.headers["Retry-After"] = std::to_string(refused->retry_after_seconds);
      }
    } else {
      served.answer = Dispatch(*route, request);
    }
    if (fault && std::holds_alternative<LoseAnswer>(*fault)) {
      served.ending = Served::Ending::kNoAnswer;
    } else if (fault && std::holds_alternative<CloseInBody>(*fault)) {
      served.ending = Served::Ending::kBroken;
    }
    if (request.method != "GET") {
      std::string name = occasion.name;
      if (name.empty() && verb == "create" && served.answer.code == 201) {
        name = served.answer.body.value(Json::json_pointer("/metadata/name"), "");
      }
      written = WriteRecord{static_cast<int>(writes_.size()) + 1,
                            verb,
                            occasion.resource,
                            route->subresource,
                            route->ns,
                            name,
                            ManagerOf(request),
                            served.answer.code,
                            core_.history.version() != version};
      writes_.push_back(*written);
      after = after_write_;
    }
    changed_.NotifyAll();
  }
  if (written && after) after(*written);
  return served;
}

Answer ApiDouble::Ask(const std::string& method, const std::string& target, const Json& body,
                      const std::string& content_type) {
  Request request;
  request.method = method;
  SetTarget(request, target);
  request.content_type = content_type;
  request.user_agent = "test";
  if (!body.is_null()) request.body = body.dump();
  runtime::MutexLock lock(mutex_);
  const auto route = ParsePath(request.path);
  Answer answer = route ? Dispatch(*route, request) : Page(request).value_or(NoSuchPage());
  changed_.NotifyAll();
  return answer;
}

Answer ApiDouble::Dispatch(const Route& route, const Request& request) try {
  if (!route.subresource.empty()) return DispatchSubresource(route, request);
  const bool one = !route.name.empty();
  if (route.kind->plural == "tokenreviews") {
    return request.method == "POST" ? ReviewToken(core_, request) : Unsupported(request.method);
  }
  if (request.method == "GET") return one ? Get(core_, route) : List(core_, route, request);
  if (request.method == "DELETE") {
    return one ? Delete(core_, route, request) : DeleteCollection(core_, route, request);
  }
  if (request.method == "POST" && !one) return Create(core_, route, request);
  if (request.method == "PUT" && one) return Update(core_, route, request);
  if (request.method == "PATCH" && one) return Patch(core_, route, request);
  return Unsupported(request.method);
} catch (const std::exception& e) {
  // A field that is not what its kind has there.
  return BadRequest(std::string("the object is malformed: ") + e.what());
}

Answer ApiDouble::DispatchSubresource(const Route& route, const Request& request) {
  const std::string& method = request.method;
  const bool pod = route.kind->plural == "pods";
  if (route.subresource == "status" && route.kind->status) {
    if (method == "GET") return Get(core_, route);
    if (method == "PUT") return Update(core_, route, request);
    if (method == "PATCH") return Patch(core_, route, request);
  } else if (route.subresource == "scale" && route.kind->scale) {
    if (method == "GET") return GetScale(core_, route);
    if (method == "PUT" || method == "PATCH") return WriteScale(core_, route, request);
  } else if (route.subresource == "eviction" && pod && method == "POST") {
    return Evict(core_, route, request);
  } else if (route.subresource == "binding" && pod && method == "POST") {
    return Bind(core_, route, request);
  } else {
    return NoSuchPage();
  }
  return Unsupported(method);
}

std::variant<ApiDouble::Served, std::shared_ptr<WatchStream>> ApiDouble::OpenWatch(
    const Route& route, const Request& request) {
  const auto parameter = [&request](const char* name) {
    const auto at = request.query.find(name);
    return at == request.query.end() ? std::string() : at->second;
  };
  auto selectors =
      Selectors::Parse(*route.kind, parameter("labelSelector"), parameter("fieldSelector"));
  if (!selectors.ok()) return Served{BadRequest(base::Message(selectors.status()))};
  const std::string from = parameter("resourceVersion");
  std::uint64_t version = 0;
  const auto [end, error] = std::from_chars(from.data(), from.data() + from.size(), version);
  if (error == std::errc::result_out_of_range || end != from.data() + from.size()) {
    return Served{
        Refusal(500, "", "resourceVersion: Invalid value: \"" + from + "\": invalid syntax")};
  }
  const bool bookmarks =
      parameter("allowWatchBookmarks") == "true" || parameter("allowWatchBookmarks") == "1";
  const bool initial = parameter("sendInitialEvents") == "true";
  std::shared_ptr<WatchStream> stream(
      new WatchStream(*this, route, *std::move(selectors), bookmarks));
  stream->version_ = version;
  stream->Begin(version == 0 || initial);
  if (initial && bookmarks) {
    stream->ready_.push_back({WatchStream::Item::What::kLine, stream->Bookmark(true)});
  }
  int seconds = 0;
  const std::string limit = parameter("timeoutSeconds");
  std::from_chars(limit.data(), limit.data() + limit.size(), seconds);
  if (seconds > 0) {
    stream->ends_at_ = runtime::RealClock().Now() + std::chrono::seconds(seconds);
  }
  return stream;
}

void ApiDouble::WaitFor(base::Duration delay) {
  const base::Time until = runtime::RealClock().Now() + delay;
  while (!closed_ && changed_.WaitUntil(mutex_, until)) {
  }
}

}  // namespace muster::kubetest
