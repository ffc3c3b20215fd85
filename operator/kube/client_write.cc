// Writing: create, replace, apply, patch, delete, and the verbs that hang on other kinds.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "operator/kube/client.h"
#include "operator/kube/projection.h"
#include "operator/kube/projection_parts.h"

namespace muster::kube {
namespace {

constexpr std::size_t kMostNote = 1024;  // events.k8s.io/v1

std::string_view NameOf(Propagation propagation) {
  switch (propagation) {
    case Propagation::kDefault:
      return "";
    case Propagation::kBackground:
      return "Background";
    case Propagation::kForeground:
      return "Foreground";
    case Propagation::kOrphan:
      return "Orphan";
  }
  return "";
}

Json DeleteOptionsJson(const DeleteOptions& options, const char* api_version) {
  Json out = {{"apiVersion", api_version}, {"kind", "DeleteOptions"}};
  if (!options.uid.empty()) out["preconditions"]["uid"] = options.uid;
  if (options.grace_seconds) out["gracePeriodSeconds"] = *options.grace_seconds;
  if (options.propagation != Propagation::kDefault) {
    out["propagationPolicy"] = NameOf(options.propagation);
  }
  return out;
}

std::vector<std::string> Texts(const Json& list) {
  std::vector<std::string> out;
  if (!list.is_array()) return out;
  for (const Json& item : list) {
    if (item.is_string()) out.push_back(item.get<std::string>());
  }
  return out;
}

}  // namespace

std::string EventBody(const EventNote& note) {
  const Json body = {{"apiVersion", "events.k8s.io/v1"},
                     {"kind", "Event"},
                     {"metadata", {{"name", note.name}, {"namespace", note.ns}}},
                     {"eventTime", FormatMicroTime(note.time)},
                     {"type", note.type},
                     {"reason", note.reason},
                     {"action", note.action},
                     {"note", Cut(note.note, kMostNote)},
                     {"reportingController", note.reporting_controller},
                     {"reportingInstance", note.reporting_instance},
                     {"regarding",
                      {{"apiVersion", note.regarding.api_version},
                       {"kind", note.regarding.kind},
                       {"namespace", note.regarding.key.ns},
                       {"name", note.regarding.key.name},
                       {"uid", note.regarding.uid}}}};
  return Dump(body);
}

absl::StatusOr<std::string> Client::Create(const Resource& resource, std::string_view ns,
                                           std::string_view body, bool dry_run,
                                           const Call& call) const {
  HttpRequest request;
  request.method = Method::kPost;
  request.target =
      Target(CollectionPath(resource, ns), {{"fieldManager", options_.field_manager},
                                            {"dryRun", dry_run ? "All" : ""},
                                            {"fieldValidation", dry_run ? "Strict" : ""}});
  request.body = body;
  request.content_type = "application/json";
  return Body(std::move(request), Repeat::kWrite,
              RequestName(dry_run ? "create (dry run)" : "create", resource, ns), call);
}

absl::StatusOr<std::string> Client::Replace(const Resource& resource, const ObjectKey& key,
                                            std::string_view body, const Call& call) const {
  HttpRequest request;
  request.method = Method::kPut;
  request.target = Target(ObjectPath(resource, key), {{"fieldManager", options_.field_manager}});
  request.body = body;
  request.content_type = "application/json";
  return Body(std::move(request), Repeat::kWrite, RequestName("replace", resource, ToString(key)),
              call);
}

absl::Status Client::Delete(const Resource& resource, const ObjectKey& key,
                            const DeleteOptions& options, const Call& call) const {
  HttpRequest request;
  request.method = Method::kDelete;
  request.target = ObjectPath(resource, key);
  request.body = Dump(DeleteOptionsJson(options, "v1"));
  request.content_type = "application/json";
  return Do(std::move(request), Repeat::kWrite, RequestName("delete", resource, ToString(key)),
            call)
      .status();
}

absl::StatusOr<std::string> Client::Apply(const Resource& resource, const ObjectKey& key,
                                          std::string_view body, const ApplyOptions& options,
                                          const Call& call) const {
  HttpRequest request;
  request.method = Method::kPatch;
  request.target = Target(ObjectPath(resource, key, options.subresource),
                          {{"fieldManager", options.field_manager.empty() ? options_.field_manager
                                                                          : options.field_manager},
                           {"force", options.force ? "true" : ""},
                           {"dryRun", options.dry_run ? "All" : ""}});
  // JSON is YAML; servers before 1.32 know no other name for it.
  request.body = body;
  request.content_type = "application/apply-patch+yaml";
  return Body(std::move(request), Repeat::kWrite, RequestName("apply", resource, ToString(key)),
              call);
}

absl::StatusOr<std::string> Client::PatchJson(const Resource& resource, const ObjectKey& key,
                                              std::string_view subresource,
                                              const std::vector<PatchOperation>& operations,
                                              const Call& call) const {
  const std::string what = RequestName("patch", resource, ToString(key));
  Json patch = Json::array();
  for (const PatchOperation& operation : operations) {
    Json item = {{"op", operation.op}, {"path", operation.path}};
    if (operation.op != "remove") {
      Json value = Json::parse(operation.value, nullptr, false);
      if (value.is_discarded()) {
        return base::InvalidArgument(what + ": the value for " + operation.path + " is no JSON");
      }
      item["value"] = std::move(value);
    }
    patch.push_back(std::move(item));
  }
  HttpRequest request;
  request.method = Method::kPatch;
  request.target =
      Target(ObjectPath(resource, key, subresource), {{"fieldManager", options_.field_manager}});
  request.body = Dump(patch);
  request.content_type = "application/json-patch+json";
  return Body(std::move(request), Repeat::kWrite, what, call);
}

absl::StatusOr<std::string> Client::PatchMerge(const Resource& resource, const ObjectKey& key,
                                               std::string_view subresource, std::string_view body,
                                               const Call& call) const {
  HttpRequest request;
  request.method = Method::kPatch;
  request.target =
      Target(ObjectPath(resource, key, subresource), {{"fieldManager", options_.field_manager}});
  request.body = body;
  request.content_type = "application/merge-patch+json";
  return Body(std::move(request), Repeat::kWrite, RequestName("patch", resource, ToString(key)),
              call);
}

absl::Status Client::Scale(const Resource& resource, const ObjectKey& key, std::int32_t replicas,
                           const Call& call) const {
  const Json body = {{"spec", {{"replicas", replicas}}}};
  return PatchMerge(resource, key, "scale", Dump(body), call).status();
}

absl::Status Client::Evict(const ObjectKey& pod, const DeleteOptions& options,
                           const Call& call) const {
  const Json body = {{"apiVersion", "policy/v1"},
                     {"kind", "Eviction"},
                     {"metadata", {{"name", pod.name}, {"namespace", pod.ns}}},
                     {"deleteOptions", DeleteOptionsJson(options, "v1")}};
  HttpRequest request;
  request.method = Method::kPost;
  request.target = ObjectPath(kPods, pod, "eviction");
  request.body = Dump(body);
  request.content_type = "application/json";
  return Do(std::move(request), Repeat::kWrite, RequestName("evict", kPods, ToString(pod)), call)
      .status();
}

absl::StatusOr<TokenReview> Client::ReviewToken(std::string_view token,
                                                const std::vector<std::string>& audiences,
                                                const Call& call) const {
  const Json body = {{"apiVersion", "authentication.k8s.io/v1"},
                     {"kind", "TokenReview"},
                     {"spec", {{"token", token}, {"audiences", audiences}}}};
  HttpRequest request;
  request.method = Method::kPost;
  request.target = CollectionPath(kTokenReviews, "");
  request.body = Dump(body);
  request.content_type = "application/json";
  // A review writes nothing: it may be asked for again like a read.
  MUSTER_ASSIGN_OR_RETURN(const std::string answer,
                          Body(std::move(request), Repeat::kRead, "review a token", call));
  MUSTER_ASSIGN_OR_RETURN(const Json json, ParseObject(answer, "review a token: the answer"));
  const Json& status = At(json, {"status"});
  TokenReview review;
  review.authenticated = BoolAt(status, {"authenticated"});
  review.error = TextAt(status, {"error"});
  review.username = TextAt(status, {"user", "username"});
  review.uid = TextAt(status, {"user", "uid"});
  review.audiences = Texts(At(status, {"audiences"}));
  const Json& extra = At(status, {"user", "extra"});
  if (extra.is_object()) {
    for (const auto& [key, values] : extra.items()) review.extra[key] = Texts(values);
  }
  return review;
}

absl::Status Client::PostEvent(const EventNote& note, const Call& call) const {
  const absl::Status posted = Create(kEvents, note.ns, EventBody(note), false, call).status();
  return posted.code() == absl::StatusCode::kAlreadyExists ? absl::OkStatus() : posted;
}

}  // namespace muster::kube
