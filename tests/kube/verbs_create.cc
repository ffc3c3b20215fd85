// Creating: names, namespaces, what a new object gets.
#include <algorithm>
#include <cctype>

#include "tests/kube/patch.h"
#include "tests/kube/verbs.h"

namespace muster::kubetest {
namespace {

bool IsName(const std::string& name) {
  const auto alnum = [](char c) { return std::islower(c) != 0 || std::isdigit(c) != 0; };
  return !name.empty() && name.size() <= 253 && alnum(name.front()) && alnum(name.back()) &&
         std::ranges::all_of(name, [&](char c) { return alnum(c) || c == '-' || c == '.'; });
}

std::optional<Answer> CheckNamespace(const Core& core, const Route& route,
                                     const std::string& name) {
  if (!route.kind->namespaced) return std::nullopt;
  const Json* ns = core.history.Find(KindOf("namespaces"), "", route.ns);
  if (ns == nullptr) return NotFound(KindOf("namespaces"), route.ns);
  if (!(*ns)["metadata"].contains("deletionTimestamp")) return std::nullopt;
  const std::string why = "namespace " + route.ns + " is being terminated";
  return Refusal(403, "Forbidden",
                 QualifiedName(*route.kind) + " \"" + name +
                     "\" is forbidden: unable to create new content in namespace " + route.ns +
                     " because it is being terminated",
                 {{"name", name},
                  {"kind", route.kind->plural},
                  {"causes",
                   {{{"reason", "NamespaceTerminating"},
                     {"message", why},
                     {"field", "metadata.namespace"}}}}});
}

// What the body must agree with: the path and the kind.
std::optional<Answer> CheckBody(const Route& route, const Json& body) {
  const Kind& kind = *route.kind;
  if (body.contains("metadata") && !body["metadata"].is_object()) {
    return BadRequest(std::string(kind.kind) + " cannot be handled: metadata is no object");
  }
  if (const std::string version = body.value("apiVersion", ApiVersionOf(kind));
      version != ApiVersionOf(kind)) {
    return BadRequest("the API version in the data (" + version +
                      ") does not match the expected API version (" + ApiVersionOf(kind) + ")");
  }
  if (const std::string is = body.value("kind", std::string(kind.kind)); is != kind.kind) {
    return BadRequest("the kind in the data (" + is + ") does not match the expected kind (" +
                      std::string(kind.kind) + ")");
  }
  const std::string ns = body.value(Json::json_pointer("/metadata/namespace"), route.ns);
  if (kind.namespaced && !ns.empty() && ns != route.ns) {
    return BadRequest(
        "the namespace of the provided object does not match the namespace sent on the request");
  }
  return std::nullopt;
}

// The defaults and first status that other parts of the system go by.
void Prepare(const Kind& kind, const std::string& now, Json& object) {
  if (kind.status && !kind.custom && !object.contains("spec")) object["spec"] = Json::object();
  if (kind.plural == "pods") {
    Json& spec = object["spec"];
    const Json defaults = {{"restartPolicy", "Always"},
                           {"terminationGracePeriodSeconds", 30},
                           {"schedulerName", "default-scheduler"}};
    for (const auto& [key, value] : defaults.items()) {
      if (!spec.contains(key)) spec[key] = value;
    }
    object["status"] = {{"phase", "Pending"}, {"qosClass", "BestEffort"}};
  } else if (kind.plural == "namespaces") {
    object["spec"]["finalizers"] = {"kubernetes"};
    object["status"] = {{"phase", "Active"}};
  } else if (kind.plural == "nodes" || kind.plural == "services") {
    if (!object.contains("status")) object["status"] = Json::object();
  } else if (kind.status) {
    object.erase("status");
  }
  if (kind.generation) object["metadata"]["generation"] = 1;
  object["metadata"]["creationTimestamp"] = now;
}

std::optional<Answer> Validate(const Kind& kind, const Json& object) {
  const std::string name = object["metadata"].value("name", "");
  if (!IsName(name)) {
    return Invalid(kind, name, "metadata.name",
                   name.empty() ? "Required value: name or generateName is required"
                                : "Invalid value: \"" + name + "\": a lowercase RFC 1123 subdomain",
                   name.empty() ? "FieldValueRequired" : "FieldValueInvalid");
  }
  if (kind.plural == "pods" &&
      object.value(Json::json_pointer("/spec/containers"), Json::array()).empty()) {
    return Invalid(kind, name, "spec.containers", "Required value", "FieldValueRequired");
  }
  return std::nullopt;
}

}  // namespace

Answer Create(Core& core, const Route& route, const Request& request) {
  Answer refusal;
  auto body = BodyOf(request, &refusal);
  if (!body) return refusal;
  const Kind& kind = *route.kind;
  if (kind.namespaced && route.ns.empty()) return Unsupported("POST over all namespaces");
  if (auto wrong = CheckBody(route, *body)) return *wrong;
  Json object = *std::move(body);
  Json& metadata = object["metadata"];
  if (!metadata.is_object()) metadata = Json::object();
  if (metadata.value("name", "").empty() && !metadata.value("generateName", "").empty()) {
    metadata["name"] = metadata["generateName"].get<std::string>() + "g" +
                       std::to_string(10000 + core.uids % 90000);
  }
  const std::string name = metadata.value("name", "");
  if (auto wrong = CheckNamespace(core, route, name)) return *wrong;
  if (auto wrong = Validate(kind, object)) return *wrong;
  if (core.history.Find(kind, route.ns, name) != nullptr) return AlreadyExists(kind, name);
  if (!metadata.value("resourceVersion", "").empty()) {
    return Refusal(500, "InternalError",
                   "resourceVersion should not be set on objects to be created");
  }
  for (const char* key : {"managedFields", "deletionTimestamp", "deletionGracePeriodSeconds"}) {
    metadata.erase(key);
  }
  metadata.erase("resourceVersion");
  if (kind.namespaced) metadata["namespace"] = route.ns;
  Prepare(kind, core.Now(), object);
  object["metadata"]["uid"] = core.NewUid();
  object["apiVersion"] = ApiVersionOf(kind);
  TakeOver(ManagerOf(request), "", Json::object(), core.Now(), object);
  object.erase("apiVersion");
  object.erase("kind");
  if (IsDryRun(request)) return {201, Stamped(kind, std::move(object))};
  return {201, Stamped(kind, core.history.Put(kind, std::move(object)))};
}

}  // namespace muster::kubetest
