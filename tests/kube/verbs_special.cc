// Subresources and kinds of their own: scale, tokens, bindings, discovery.
#include <algorithm>

#include "tests/kube/patch.h"
#include "tests/kube/verbs.h"

namespace muster::kubetest {
namespace {

// Where a TrainingJob's scale subresource reads and writes.
const Json::json_pointer kSpecReplicas("/spec/workers/replicas");
const Json::json_pointer kStatusReplicas("/status/replicas");
const Json::json_pointer kSelector("/status/selector");

Json ScaleOf(const Json& object) {
  const Json& metadata = object["metadata"];
  return {{"kind", "Scale"},
          {"apiVersion", "autoscaling/v1"},
          {"metadata",
           {{"name", metadata["name"]},
            {"namespace", metadata["namespace"]},
            {"uid", metadata["uid"]},
            {"resourceVersion", metadata["resourceVersion"]},
            {"creationTimestamp", metadata["creationTimestamp"]}}},
          {"spec", {{"replicas", object.value(kSpecReplicas, 0)}}},
          {"status",
           {{"replicas", object.value(kStatusReplicas, 0)},
            {"selector", object.value(kSelector, "")}}}};
}

}  // namespace

Answer GetScale(const Core& core, const Route& route) {
  const Json* object = core.history.Find(*route.kind, route.ns, route.name);
  if (object == nullptr) return NotFound(*route.kind, route.name);
  if (!object->contains(kSpecReplicas)) {
    return Refusal(500, "InternalError",
                   "the spec replicas field \".spec.workers.replicas\" does not exist");
  }
  return {200, ScaleOf(*object)};
}

Answer WriteScale(Core& core, const Route& route, const Request& request) {
  Answer scale = GetScale(core, route);
  if (scale.code != 200) return scale;
  const Json patch = Json::parse(request.body, nullptr, false);
  if (patch.is_discarded()) return BadRequest("the body is not JSON");
  if (request.method == "PUT") {
    scale.body = patch;
  } else if (request.content_type.starts_with("application/merge-patch+json")) {
    scale.body.merge_patch(patch);
  } else if (!ApplyJsonPatch(patch, scale.body).ok()) {
    return Refusal(422, "Invalid",
                   "the server rejected our request due to an error in our request");
  }
  const Json* before = core.history.Find(*route.kind, route.ns, route.name);
  const Json replicas = scale.body.value(Json::json_pointer("/spec/replicas"), Json(0));
  if (!replicas.is_number_integer() || replicas < 0) {
    return Invalid(*route.kind, route.name, "spec.replicas",
                   "Invalid value: should be a non-negative integer");
  }
  Json after = *before;
  after[kSpecReplicas] = replicas;
  after["metadata"]["resourceVersion"] =
      scale.body.value(Json::json_pointer("/metadata/resourceVersion"), "");
  Answer committed = CommitChange(core, *route.kind, *before, std::move(after),
                                  {"", ManagerOf(request), IsDryRun(request), false, false});
  if (committed.code == 200) committed.body = ScaleOf(committed.body);
  return committed;
}

Answer ReviewToken(Core& core, const Request& request) {
  Answer refusal;
  auto body = BodyOf(request, &refusal);
  if (!body) return refusal;
  const Json spec = body->value("spec", Json::object());
  const std::string token = spec.value("token", "");
  const auto owner = core.tokens.find(token);
  // A refusal leaves `authenticated` out.
  Json status = Json::object();
  std::vector<std::string> shared;
  if (owner != core.tokens.end()) {
    const auto wanted = spec.value("audiences", owner->second.audiences);
    for (const std::string& audience : owner->second.audiences) {
      if (std::ranges::count(wanted, audience) > 0) shared.push_back(audience);
    }
  }
  if (token.empty()) {
    return Answer{422, Invalid(KindOf("tokenreviews"), "", "spec.token", "Required value").body};
  }
  if (owner == core.tokens.end()) {
    status["error"] = "invalid bearer token";
  } else if (shared.empty()) {
    status["error"] = "invalid bearer token, token audiences are not any of those asked for";
  } else {
    status = {{"authenticated", true},
              {"audiences", shared},
              {"user",
               {{"username", owner->second.username},
                {"uid", owner->second.uid},
                {"extra", owner->second.extra}}}};
  }
  (*body)["status"] = status;
  return {201, Stamped(KindOf("tokenreviews"), *std::move(body))};
}

Answer Bind(Core& core, const Route& route, const Request& request) {
  Answer refusal;
  const auto body = BodyOf(request, &refusal);
  if (!body) return refusal;
  const Kind& pods = KindOf("pods");
  const Json* found = core.history.Find(pods, route.ns, route.name);
  if (found == nullptr) return NotFound(pods, route.name);
  Json pod = *found;
  if (!pod["spec"].value("nodeName", "").empty()) {
    return Conflict(pods, route.name,
                    "pod " + route.name + " is already assigned to node \"" +
                        pod["spec"].value("nodeName", "") + "\"");
  }
  pod["spec"]["nodeName"] = body->value(Json::json_pointer("/target/name"), "");
  core.history.Put(pods, std::move(pod));
  return {201, {{"kind", "Status"}, {"apiVersion", "v1"}, {"status", "Success"}, {"code", 201}}};
}

std::optional<Answer> Page(const Request& request) {
  if (request.path == "/readyz" || request.path == "/livez" || request.path == "/healthz") {
    return Answer{200, "ok"};
  }
  if (request.path == "/version") {
    return Answer{200, {{"major", "1"}, {"minor", "34"}, {"gitVersion", "v1.34.0-double"}}};
  }
  Json resources = Json::array();
  std::string group_version;
  for (const Kind& kind : Kinds()) {
    const std::string path = (kind.group.empty() ? "/api/" : "/apis/") + ApiVersionOf(kind);
    if (path != request.path) continue;
    group_version = ApiVersionOf(kind);
    resources.push_back(
        {{"name", kind.plural},
         {"kind", kind.kind},
         {"namespaced", kind.namespaced},
         {"singularName", ""},
         {"verbs", {"create", "delete", "get", "list", "patch", "update", "watch"}}});
  }
  if (resources.empty()) return std::nullopt;
  return Answer{200,
                {{"kind", "APIResourceList"},
                 {"apiVersion", "v1"},
                 {"groupVersion", group_version},
                 {"resources", resources}}};
}

}  // namespace muster::kubetest
