// Reading: get, list, watch, logs; and what all verbs share.
#include "operator/kube/client.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "operator/kube/sleep.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/entropy.h"

namespace muster::kube {
namespace {

constexpr std::int64_t kListAllPage = 500;

// Whether the same request may be sent again, told by what came back.
bool MaySendAgain(const absl::StatusOr<HttpResponse>& answer, const ApiError& error, bool read) {
  if (!answer.ok()) {
    return read && answer.status().code() == absl::StatusCode::kUnavailable;
  }
  if (error.code == 429) return !IsBudgetRefusal(error);
  if (error.code == 503 && error.retry_after) return true;
  return read && (error.code == 500 || (error.code >= 502 && error.code <= 504));
}

WatchEventType TypeOf(const std::string& name) {
  if (name == "ADDED") return WatchEventType::kAdded;
  if (name == "MODIFIED") return WatchEventType::kModified;
  if (name == "DELETED") return WatchEventType::kDeleted;
  if (name == "BOOKMARK") return WatchEventType::kBookmark;
  return WatchEventType::kError;
}

// One line of a watch to `on_event`. False: enough; a line that is no event breaks the stream.
absl::StatusOr<bool> TellEvent(std::string_view line, const OnWatchEvent& on_event) {
  absl::StatusOr<Json> json = ParseObject(line, "an event of the watch");
  if (!json.ok()) return base::DataLoss(base::Message(json.status()));
  const WatchEventType type = TypeOf(TextAt(*json, {"type"}));
  const Json& object = At(*json, {"object"});
  WatchEvent event{type, object, TextAt(object, {"metadata", "resourceVersion"}), std::nullopt};
  if (type == WatchEventType::kError) event.error = MakeApiError(500, Dump(object), std::nullopt);
  return on_event(event);
}

Query LogQuery(const LogOptions& options, bool follow) {
  const auto number = [](const std::optional<std::int64_t>& value) {
    return value ? std::to_string(*value) : std::string();
  };
  return {{"container", options.container},
          {"follow", follow ? "true" : ""},
          {"limitBytes", number(options.limit_bytes)},
          {"previous", options.previous ? "true" : ""},
          {"sinceSeconds", number(options.since_seconds)},
          {"tailLines", number(options.tail_lines)},
          {"timestamps", options.timestamps ? "true" : ""}};
}

}  // namespace

base::Duration RetryWait(const RetryPolicy& policy, int attempt,
                         std::optional<base::Duration> retry_after, std::uint64_t chance) {
  base::Duration wait = policy.first_wait;
  for (int i = 2; i < attempt && wait < policy.most_wait; ++i) wait *= 2;
  wait = std::min(wait, policy.most_wait);
  const double part = 0.5 + 0.5 * static_cast<double>(chance >> 11) * 0x1.0p-53;
  wait = base::FromSeconds(base::ToSeconds(wait) * part);
  return retry_after ? *retry_after + wait : wait;
}

Client::Client(HttpTransport& transport, Options options)
    : transport_(transport), options_([&options] {
        if (!options.chance) options.chance = [] { return runtime::RandomNumber(); };
        return std::move(options);
      }()) {}

absl::StatusOr<HttpResponse> Client::Do(HttpRequest request, Repeat repeat, std::string_view what,
                                        const Call& call) const {
  const runtime::RealClock clock;
  const base::Time deadline = clock.Now() + call.timeout;
  bool was_unauthorized = false;
  for (int attempt = 1;; ++attempt) {
    request.timeout = deadline - clock.Now();
    absl::StatusOr<HttpResponse> answer = transport_.Send(request, call.stop);
    if (answer.ok() && answer->ok()) return answer;
    ApiError error;
    if (answer.ok()) error = MakeApiError(answer->code, answer->body, answer->retry_after);
    const absl::Status failed =
        answer.ok() ? ToStatus(error, what) : base::Annotate(answer.status(), what);
    base::Duration wait{0};
    if (error.code == 401 && !std::exchange(was_unauthorized, true)) {
      continue;
    } else if (repeat == Repeat::kNever || attempt >= options_.retry.attempts ||
               !MaySendAgain(answer, error, repeat == Repeat::kRead)) {
      return failed;
    }
    wait = RetryWait(options_.retry, attempt + 1, error.retry_after, options_.chance());
    // What would not be answered in time any more is an answer now.
    if (clock.Now() + wait >= deadline) return failed;
    if (!SleepUnlessStopped(wait, call.stop)) return absl::CancelledError("stopped");
  }
}

absl::StatusOr<std::string> Client::Body(HttpRequest request, Repeat repeat, std::string_view what,
                                         const Call& call) const {
  MUSTER_ASSIGN_OR_RETURN(HttpResponse response, Do(std::move(request), repeat, what, call));
  return std::move(response.body);
}

absl::StatusOr<std::string> Client::GetPath(std::string target, const Call& call) const {
  const std::string what = "get " + target;
  HttpRequest request;
  request.target = std::move(target);
  request.accept = "application/json, */*";
  return Body(std::move(request), Repeat::kRead, what, call);
}

absl::StatusOr<std::string> Client::Get(const Resource& resource, const ObjectKey& key,
                                        const Call& call) const {
  HttpRequest request;
  request.target = ObjectPath(resource, key);
  return Body(std::move(request), Repeat::kRead, RequestName("get", resource, ToString(key)), call);
}

absl::StatusOr<ListPage> Client::List(const Resource& resource, std::string_view ns,
                                      const ListOptions& options, const OnItem& on_item,
                                      const Call& call) const {
  const bool first = options.continue_token.empty();
  HttpRequest request;
  // A continue token carries the version of its list; saying one beside it is refused.
  request.target = Target(
      CollectionPath(resource, ns),
      {{"labelSelector", options.label_selector},
       {"fieldSelector", options.field_selector},
       {"limit", options.limit > 0 ? std::to_string(options.limit) : ""},
       {"continue", options.continue_token},
       {"resourceVersion", first ? options.resource_version : ""},
       {"resourceVersionMatch", first && !options.resource_version.empty() ? "NotOlderThan" : ""}});
  const std::string what = RequestName("list", resource, ns);
  MUSTER_ASSIGN_OR_RETURN(std::string body, Body(std::move(request), Repeat::kRead, what, call));
  MUSTER_ASSIGN_OR_RETURN(const Json list, ParseObject(body, what + ": the answer"));
  body = std::string();  // the text and the tree of a long list are not kept side by side
  const Json& items = At(list, {"items"});
  if (items.is_array()) {
    for (const Json& item : items) MUSTER_RETURN_IF_ERROR(on_item(item));
  }
  return ListPage{TextAt(list, {"metadata", "resourceVersion"}),
                  TextAt(list, {"metadata", "continue"})};
}

absl::StatusOr<std::vector<std::string>> Client::ListAll(const Resource& resource,
                                                         std::string_view ns,
                                                         const ListOptions& options,
                                                         const Call& call) const {
  std::vector<std::string> items;
  ListOptions page = options;
  if (page.limit == 0) page.limit = kListAllPage;
  do {
    MUSTER_ASSIGN_OR_RETURN(const ListPage came, List(
                                                     resource, ns, page,
                                                     [&items](const Json& item) {
                                                       items.push_back(Dump(item));
                                                       return absl::OkStatus();
                                                     },
                                                     call));
    page.continue_token = came.continue_token;
  } while (!page.continue_token.empty());
  return items;
}

absl::Status Client::Watch(const Resource& resource, std::string_view ns,
                           const WatchOptions& options, const OnWatchEvent& on_event,
                           std::stop_token stop) const {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(options.server_timeout).count();
  HttpRequest request;
  request.target = Target(CollectionPath(resource, ns),
                          {{"watch", "true"},
                           {"allowWatchBookmarks", "true"},
                           {"labelSelector", options.label_selector},
                           {"fieldSelector", options.field_selector},
                           {"resourceVersion", options.resource_version},
                           {"timeoutSeconds", std::to_string(std::max<std::int64_t>(seconds, 1))}});
  request.timeout = std::min<base::Duration>(options.idle_timeout, std::chrono::seconds(30));
  request.idle_timeout = options.idle_timeout;
  const std::string what = RequestName("watch", resource, ns);
  absl::Status broken;
  const absl::StatusOr<HttpResponse> response = transport_.Stream(
      request,
      [&](std::string_view line) {
        const absl::StatusOr<bool> more = TellEvent(line, on_event);
        if (!more.ok()) broken = base::Annotate(more.status(), what);
        return more.ok() && *more;
      },
      std::move(stop));
  if (!broken.ok()) return broken;
  if (!response.ok()) return base::Annotate(response.status(), what);
  if (response->ok()) return absl::OkStatus();
  return ToStatus(MakeApiError(response->code, response->body, response->retry_after), what);
}

absl::StatusOr<bool> Client::Serves(const Resource& resource, const Call& call) const {
  const std::string path = (resource.group.empty() ? "/api/" : "/apis/") + ApiVersion(resource);
  const absl::StatusOr<std::string> body = GetPath(path, call);
  if (body.status().code() == absl::StatusCode::kNotFound) return false;
  MUSTER_RETURN_IF_ERROR(body.status());
  MUSTER_ASSIGN_OR_RETURN(const Json list, ParseObject(*body, path + ": the answer"));
  const Json& resources = At(list, {"resources"});
  return resources.is_array() &&
         std::any_of(resources.begin(), resources.end(), [&](const Json& served) {
           return TextAt(served, {"name"}) == resource.plural;
         });
}

absl::StatusOr<std::string> Client::Logs(const ObjectKey& pod, const LogOptions& options,
                                         const Call& call) const {
  HttpRequest request;
  request.target = Target(ObjectPath(kPods, pod, "log"), LogQuery(options, false));
  request.accept = "*/*";
  return Body(std::move(request), Repeat::kRead, RequestName("log of", kPods, ToString(pod)), call);
}

absl::Status Client::FollowLogs(const ObjectKey& pod, const LogOptions& options,
                                const OnLine& on_line, std::stop_token stop) const {
  HttpRequest request;
  request.target = Target(ObjectPath(kPods, pod, "log"), LogQuery(options, true));
  request.accept = "*/*";
  // A worker may have nothing to say for a long time.
  request.idle_timeout = std::chrono::hours(24);
  const std::string what = RequestName("log of", kPods, ToString(pod));
  const absl::StatusOr<HttpResponse> response =
      transport_.Stream(request, on_line, std::move(stop));
  if (!response.ok()) return base::Annotate(response.status(), what);
  if (response->ok()) return absl::OkStatus();
  return ToStatus(MakeApiError(response->code, response->body, response->retry_after), what);
}

}  // namespace muster::kube
