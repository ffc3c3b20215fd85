// Changing what exists: PUT, the three patches, and the one path by which all are committed.
#include <algorithm>

#include "tests/kube/patch.h"
#include "tests/kube/verbs.h"

namespace muster::kubetest {
namespace {

const char* const kKept[] = {"name",
                             "namespace",
                             "uid",
                             "generation",
                             "creationTimestamp",
                             "deletionTimestamp",
                             "generateName",
                             "deletionGracePeriodSeconds"};

// The fields of a pod's spec that may change after its creation.
Json FrozenPodSpec(Json spec) {
  for (const char* key : {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds",
                          "nodeName", "schedulingGates"}) {
    spec.erase(key);
  }
  for (const char* list : {"containers", "initContainers"}) {
    if (!spec.contains(list)) continue;
    for (Json& container : spec[list]) container.erase("image");
  }
  return spec;
}

Json Desired(const Kind& kind, Json object) {
  object.erase("status");
  object.erase("metadata");
  return kind.custom ? object : object.value("spec", Json());
}

Json WithoutTimes(Json object) {
  Json& metadata = object["metadata"];
  if (metadata.contains("managedFields")) {
    for (Json& entry : metadata["managedFields"]) entry.erase("time");
  }
  metadata.erase("resourceVersion");
  return object;
}

std::optional<Answer> CheckPreconditions(const Kind& kind, const Json& before, const Json& after,
                                         const Commit& commit) {
  const std::string name = before["metadata"].value("name", "");
  const Json metadata = after.value("metadata", Json::object());
  const std::string uid = metadata.value("uid", "");
  if (!uid.empty() && before["metadata"]["uid"] != uid) {
    if (commit.applied) {
      return Invalid(kind, name, "metadata.uid",
                     "Invalid value: \"" + uid + "\": field is immutable");
    }
    return Conflict(kind, name,
                    "Precondition failed: UID in precondition: " + uid +
                        ", UID in object meta: " + before["metadata"].value("uid", ""));
  }
  const std::string version = metadata.value("resourceVersion", "");
  if (version.empty() && kind.custom && commit.put) {
    return Invalid(kind, name, "metadata.resourceVersion",
                   "Invalid value: 0: must be specified for an update");
  }
  if (!version.empty() && before["metadata"]["resourceVersion"] != version) {
    return Conflict(kind, name,
                    "the object has been modified; please apply your changes to the latest version "
                    "and try again");
  }
  return std::nullopt;
}

// What `after` may change: status by its subresource, the rest by the object itself.
Json Divided(const Kind& kind, const Json& before, Json after, const std::string& subresource) {
  if (subresource == "status") {
    Json object = before;
    object.erase("status");
    if (after.contains("status")) object["status"] = after["status"];
    if (after["metadata"].contains("managedFields")) {
      object["metadata"]["managedFields"] = after["metadata"]["managedFields"];
    }
    return object;
  }
  if (kind.status) {
    after.erase("status");
    if (before.contains("status")) after["status"] = before["status"];
  }
  for (const char* key : kKept) {
    after["metadata"].erase(key);
    if (before["metadata"].contains(key)) after["metadata"][key] = before["metadata"][key];
  }
  return after;
}

bool HasEnded(const Kind& kind, const Json& object) {
  const Json& metadata = object["metadata"];
  if (!metadata.contains("deletionTimestamp")) return false;
  if (!metadata.value("finalizers", Json::array()).empty()) return false;
  if (kind.plural == "namespaces") return object["spec"].value("finalizers", Json()).empty();
  return kind.plural != "pods" || metadata.value("deletionGracePeriodSeconds", 0) == 0;
}

Answer PatchFailed(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kInvalidArgument) {
    return BadRequest(base::Message(status));
  }
  return Refusal(422, "Invalid", "the server rejected our request due to an error in our request",
                 Json::object());
}

// What an apply must have, whatever it is applied to.
std::optional<Answer> CheckApply(const Kind& kind, const Request& request, const Json& applied) {
  if (!request.query.contains("fieldManager")) {
    return Refusal(422, "Invalid",
                   "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is "
                   "required for apply patch",
                   {{"group", "meta.k8s.io"},
                    {"kind", "PatchOptions"},
                    {"causes",
                     {{{"reason", "FieldValueRequired"},
                       {"message", "Required value: is required for apply patch"},
                       {"field", "fieldManager"}}}}});
  }
  if (!applied.value(Json::json_pointer("/metadata/managedFields"), Json::array()).empty()) {
    return BadRequest("metadata.managedFields must be nil");
  }
  if (applied.value("kind", "") != kind.kind ||
      applied.value("apiVersion", "") != ApiVersionOf(kind)) {
    return BadRequest("invalid object type: apiVersion and kind must be " + ApiVersionOf(kind) +
                      ", " + std::string(kind.kind));
  }
  return std::nullopt;
}

Answer ApplyNew(Core& core, const Route& route, const Request& request, const Json& applied) {
  const Kind& kind = *route.kind;
  if (!route.subresource.empty()) return NotFound(kind, route.name);
  Request create = request;
  Json body = applied;
  body["metadata"]["name"] = route.name;
  create.body = body.dump();
  create.query["dryRun"] = "All";
  Answer made = Create(core, route, create);
  if (made.code != 201) return made;
  // Owned by an Apply, not by the create that it was made of.
  made.body["metadata"].erase("managedFields");
  Apply(ManagerOf(request), "", applied, true, core.Now(), made.body);
  made.body.erase("apiVersion");
  made.body.erase("kind");
  if (!IsDryRun(request)) made.body = core.history.Put(kind, std::move(made.body));
  made.body = Stamped(kind, std::move(made.body));
  return made;
}

Answer ApplyRefused(const std::vector<FieldConflict>& conflicts) {
  Json causes = Json::array();
  for (const auto& [other, field] : conflicts) {
    causes.push_back({{"reason", "FieldManagerConflict"},
                      {"message", "conflict with \"" + other + "\""},
                      {"field", field}});
  }
  return Refusal(409, "Conflict",
                 "Apply failed with " + std::to_string(conflicts.size()) +
                     " conflicts: they are fields of other managers",
                 {{"causes", causes}});
}

Answer ApplyPatch(Core& core, const Route& route, const Request& request, const Json& applied) {
  const Kind& kind = *route.kind;
  if (auto wrong = CheckApply(kind, request, applied)) return *wrong;
  const Json* before = core.history.Find(kind, route.ns, route.name);
  if (before == nullptr) return ApplyNew(core, route, request, applied);
  const auto force = request.query.find("force");
  const bool forced = force != request.query.end() && force->second == "true";
  Json relevant = applied;
  if (route.subresource == "status") {
    relevant.erase("spec");
  } else if (kind.status) {
    relevant.erase("status");
  }
  Json after = Stamped(kind, *before);
  const auto conflicts =
      Apply(ManagerOf(request), route.subresource, relevant, forced, core.Now(), after);
  if (!conflicts.empty()) return ApplyRefused(conflicts);
  const Json metadata = applied.value("metadata", Json::object());
  for (const char* key : {"uid", "resourceVersion"}) {
    if (metadata.contains(key)) after["metadata"][key] = metadata[key];
  }
  return CommitChange(core, kind, *before, std::move(after),
                      {route.subresource, ManagerOf(request), IsDryRun(request), true, false});
}

// Its version is of no matter then; its UID is: nothing has it.
Answer CreateByPut(Core& core, const Route& route, const Request& request, Json body) {
  if (const std::string uid = body["metadata"].value("uid", ""); !uid.empty()) {
    return Conflict(*route.kind, route.name,
                    "Precondition failed: UID in precondition: " + uid + ", UID in object meta: ");
  }
  body["metadata"].erase("resourceVersion");
  Request create = request;
  create.body = body.dump();
  return Create(core, route, create);
}

}  // namespace

Answer CommitChange(Core& core, const Kind& kind, const Json& before, Json after,
                    const Commit& commit) {
  const std::string name = before["metadata"].value("name", "");
  if (auto refused = CheckPreconditions(kind, before, after, commit)) return *refused;
  after.erase("apiVersion");
  after.erase("kind");
  Json object = Divided(kind, before, std::move(after), commit.subresource);
  if (kind.plural == "pods" && FrozenPodSpec(object["spec"]) != FrozenPodSpec(before["spec"])) {
    return Invalid(kind, name, "spec",
                   "Forbidden: pod updates may not change fields other than "
                   "`spec.containers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations`",
                   "FieldValueForbidden");
  }
  if (!commit.applied) {
    object["metadata"].erase("managedFields");
    if (before["metadata"].contains("managedFields")) {
      object["metadata"]["managedFields"] = before["metadata"]["managedFields"];
    }
    object["apiVersion"] = ApiVersionOf(kind);
    TakeOver(commit.manager, commit.subresource, before, core.Now(), object);
    object.erase("apiVersion");
  }
  if (WithoutTimes(object) == WithoutTimes(before)) return {200, Stamped(kind, before)};
  if (kind.generation && Desired(kind, object) != Desired(kind, before)) {
    object["metadata"]["generation"] = before["metadata"].value("generation", 0) + 1;
  }
  if (commit.dry_run) return {200, Stamped(kind, std::move(object))};
  if (HasEnded(kind, object)) {
    core.history.Remove(kind, object["metadata"].value("namespace", ""), name);
    return {200, Stamped(kind, std::move(object))};
  }
  return {200, Stamped(kind, core.history.Put(kind, std::move(object)))};
}

Answer Update(Core& core, const Route& route, const Request& request) {
  Answer refusal;
  auto body = BodyOf(request, &refusal);
  if (!body) return refusal;
  const std::string name = body->value(Json::json_pointer("/metadata/name"), "");
  if (name != route.name) {
    return BadRequest("the name of the object (" + name + ") does not match the name on the URL (" +
                      route.name + ")");
  }
  const Json* before = core.history.Find(*route.kind, route.ns, route.name);
  if (before == nullptr) {
    if (!route.kind->created_by_put || !route.subresource.empty()) {
      return NotFound(*route.kind, route.name);
    }
    return CreateByPut(core, route, request, *std::move(body));
  }
  return CommitChange(core, *route.kind, *before, *std::move(body),
                      {route.subresource, ManagerOf(request), IsDryRun(request), false, true});
}

Answer Patch(Core& core, const Route& route, const Request& request) {
  const Json patch = Json::parse(request.body, nullptr, false);
  if (patch.is_discarded()) return BadRequest("error decoding patch: it is not JSON");
  const std::string type = request.content_type.substr(0, request.content_type.find(';'));
  if (type == "application/apply-patch+yaml") return ApplyPatch(core, route, request, patch);
  const Json* before = core.history.Find(*route.kind, route.ns, route.name);
  if (before == nullptr) return NotFound(*route.kind, route.name);
  Json after = Stamped(*route.kind, *before);
  if (type == "application/json-patch+json") {
    if (const absl::Status status = ApplyJsonPatch(patch, after); !status.ok()) {
      return PatchFailed(status);
    }
  } else if (type == "application/merge-patch+json") {
    after.merge_patch(patch);
  } else {
    return Refusal(
        415, "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, "
        "application/apply-patch+yaml");
  }
  if (!after.is_object()) return BadRequest("the patched object is no object");
  return CommitChange(core, *route.kind, *before, std::move(after),
                      {route.subresource, ManagerOf(request), IsDryRun(request), false, false});
}

}  // namespace muster::kubetest
