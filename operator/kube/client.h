// The verbs of an API server: read, list, watch, create, apply, patch, delete, and those of pods.
//
// Safe from every thread; each call blocks its caller for at most call.timeout, retries included.
// Objects go in and come out as JSON text. Errors are absl codes with an ApiError (api_error.h).
//
// What is tried again, up to retry.attempts times, with jitter, never before Retry-After:
//   every verb   429 without a disruption budget in it, and 503 with Retry-After: nothing was done
//   every verb   401, once: the transport has told its access source meanwhile
//   reads        also no answer, 500, 502, 503, 504
// A write without an answer is not repeated here: who wrote it knows how to find out what became of
// it. (The library below may resend on a connection that proves closed: creates have names of ours.)
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "operator/kube/api_error.h"
#include "operator/kube/json.h"
#include "operator/kube/resource.h"
#include "operator/kube/transport.h"

namespace muster::kube {

struct Call {
  base::Duration timeout = std::chrono::seconds(15);
  std::stop_token stop = {};
};

struct RetryPolicy {
  int attempts = 4;  // the first included
  base::Duration first_wait = std::chrono::milliseconds(100);
  base::Duration most_wait = std::chrono::seconds(5);
};
// Pure. How long to wait before attempt `attempt` (from 2): doubled each time, between half and the
// whole of it by chance, and never less than the server asks for.
base::Duration RetryWait(const RetryPolicy& policy, int attempt,
                         std::optional<base::Duration> retry_after, std::uint64_t chance);

struct ListOptions {
  std::string label_selector;
  std::string field_selector;
  std::int64_t limit = 0;        // items a page; 0: all in one answer
  std::string continue_token;    // of the page before
  std::string resource_version;  // empty: consistent; "0": what the server's cache has
};
struct ListPage {
  std::string resource_version;
  std::string continue_token;  // empty: this was the last page
};
// An error ends the list and is returned.
using OnItem = std::function<absl::Status(const Json& item)>;

struct WatchOptions {
  std::string label_selector;
  std::string field_selector;
  std::string resource_version;
  base::Duration server_timeout = std::chrono::seconds(290);
  base::Duration idle_timeout = std::chrono::seconds(295);
};
enum class WatchEventType { kAdded, kModified, kDeleted, kBookmark, kError };
struct WatchEvent {
  WatchEventType type = WatchEventType::kBookmark;
  const Json& object;             // of kError: a Status
  std::string resource_version;   // the object's; empty for kError
  std::optional<ApiError> error;  // of kError
};
using OnWatchEvent = std::function<bool(const WatchEvent& event)>;  // false: enough

enum class Propagation { kDefault, kBackground, kForeground, kOrphan };
struct DeleteOptions {
  std::string uid;                            // only this one: another of the same name is Aborted
  std::optional<std::int64_t> grace_seconds;  // 0: at once, by force
  Propagation propagation = Propagation::kDefault;
};

struct ApplyOptions {
  std::string field_manager;  // empty: the client's
  bool force = true;          // takes fields over from other managers
  std::string_view subresource = "";
  bool dry_run = false;
};

struct PatchOperation {
  std::string op;     // test | add | replace | remove
  std::string path;   // "/status/membership/term"
  std::string value;  // JSON text; empty for remove
};

struct TokenReview {
  bool authenticated = false;
  std::string error;  // the server's words when it is not
  std::string username;
  std::string uid;
  std::vector<std::string> audiences;
  std::map<std::string, std::vector<std::string>>
      extra;  // authentication.kubernetes.io/pod-uid, ...
};

struct EventNote {
  std::string ns;
  std::string name;  // of the Event: chosen by the caller, so that a repeated post is one Event
  std::string type;  // Normal | Warning
  std::string reason;
  std::string action;
  std::string note;  // cut at 1,024 bytes, at a character's edge
  std::string reporting_controller;
  std::string reporting_instance;
  base::WallTime time;
  struct Regarding {
    std::string api_version;
    std::string kind;
    ObjectKey key;
    std::string uid;
  } regarding;
};
// Pure: the Event's body.
std::string EventBody(const EventNote& note);

struct LogOptions {
  std::string container;                   // empty: the only one
  std::optional<std::int64_t> tail_lines;  // none: all
  std::optional<std::int64_t> limit_bytes;
  std::optional<std::int64_t> since_seconds;
  bool previous = false;
  bool timestamps = false;
};

class Client final {
 public:
  struct Options {
    std::string field_manager = "muster";
    RetryPolicy retry;
    // For jitter; called from every thread. Empty: the kernel's.
    std::function<std::uint64_t()> chance;
  };
  // `transport` outlives it.
  explicit Client(HttpTransport& transport) : Client(transport, Options()) {}
  Client(HttpTransport& transport, Options options);

  absl::StatusOr<std::string> Get(const Resource& resource, const ObjectKey& key,
                                  const Call& call = {}) const;
  // One page.
  absl::StatusOr<ListPage> List(const Resource& resource, std::string_view ns,
                                const ListOptions& options, const OnItem& on_item,
                                const Call& call = {}) const;
  // All pages, as JSON texts: for the command line and for short lists.
  absl::StatusOr<std::vector<std::string>> ListAll(const Resource& resource, std::string_view ns,
                                                   const ListOptions& options,
                                                   const Call& call = {}) const;
  // Until the server ends it (OK), `on_event` has enough (OK), it breaks (Unavailable,
  // DeadlineExceeded) or `stop` (Cancelled). Refused at the door: the refusal's status.
  absl::Status Watch(const Resource& resource, std::string_view ns, const WatchOptions& options,
                     const OnWatchEvent& on_event, std::stop_token stop) const;

  // AlreadyExists when the name is taken. dry_run: everything but the write, and a field that the
  // server does not know is an error (it would drop it in silence).
  absl::StatusOr<std::string> Create(const Resource& resource, std::string_view ns,
                                     std::string_view body, bool dry_run = false,
                                     const Call& call = {}) const;
  // Aborted when metadata.resourceVersion in the body is not the newest.
  absl::StatusOr<std::string> Replace(const Resource& resource, const ObjectKey& key,
                                      std::string_view body, const Call& call = {}) const;
  // NotFound when it is gone.
  absl::Status Delete(const Resource& resource, const ObjectKey& key, const DeleteOptions& options,
                      const Call& call = {}) const;
  // Server-side apply: `body` has the fields that the manager owns, and apiVersion, kind, name.
  absl::StatusOr<std::string> Apply(const Resource& resource, const ObjectKey& key,
                                    std::string_view body, const ApplyOptions& options,
                                    const Call& call = {}) const;
  // JSON Patch, all or nothing. FailedPrecondition: a `test` (or a path that is not there) did not
  // hold. Aborted: the server gave up on a conflict.
  absl::StatusOr<std::string> PatchJson(const Resource& resource, const ObjectKey& key,
                                        std::string_view subresource,
                                        const std::vector<PatchOperation>& operations,
                                        const Call& call = {}) const;
  // JSON Merge Patch.
  absl::StatusOr<std::string> PatchMerge(const Resource& resource, const ObjectKey& key,
                                         std::string_view subresource, std::string_view body,
                                         const Call& call = {}) const;

  absl::Status Scale(const Resource& resource, const ObjectKey& key, std::int32_t replicas,
                     const Call& call = {}) const;
  // ResourceExhausted with IsBudgetRefusal: the disruption budget allows none now.
  absl::Status Evict(const ObjectKey& pod, const DeleteOptions& options,
                     const Call& call = {}) const;
  absl::StatusOr<TokenReview> ReviewToken(std::string_view token,
                                          const std::vector<std::string>& audiences,
                                          const Call& call = {}) const;
  // OK also when it was posted before.
  absl::Status PostEvent(const EventNote& note, const Call& call = {}) const;
  // Does the server know the kind?
  absl::StatusOr<bool> Serves(const Resource& resource, const Call& call = {}) const;
  absl::StatusOr<std::string> Logs(const ObjectKey& pod, const LogOptions& options,
                                   const Call& call = {}) const;
  absl::Status FollowLogs(const ObjectKey& pod, const LogOptions& options, const OnLine& on_line,
                          std::stop_token stop) const;
  // GET of any path: /version, /readyz, a service's proxy.
  absl::StatusOr<std::string> GetPath(std::string target, const Call& call = {}) const;

 private:
  enum class Repeat { kRead, kWrite, kNever };
  absl::StatusOr<HttpResponse> Do(HttpRequest request, Repeat repeat, std::string_view what,
                                  const Call& call) const;
  absl::StatusOr<std::string> Body(HttpRequest request, Repeat repeat, std::string_view what,
                                   const Call& call) const;

  HttpTransport& transport_;
  const Options options_;
};

}  // namespace muster::kube
