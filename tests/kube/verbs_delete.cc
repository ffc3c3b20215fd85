// Deleting, with grace, finalizers and preconditions; and evicting, which asks the budgets first.
#include <algorithm>

#include "tests/kube/budgets.h"
#include "tests/kube/verbs.h"

namespace muster::kubetest {
namespace {

struct Options {
  std::optional<std::int64_t> grace;
  std::string propagation;
  std::string uid;
  std::string version;
  bool dry_run = false;
};

Options OptionsOf(const Json& body, const Query& query) {
  Options options;
  if (const auto at = query.find("gracePeriodSeconds"); at != query.end()) {
    options.grace = std::stoll(at->second);
  }
  if (const auto at = query.find("propagationPolicy"); at != query.end()) {
    options.propagation = at->second;
  }
  if (body.contains("gracePeriodSeconds")) options.grace = body["gracePeriodSeconds"];
  options.propagation = body.value("propagationPolicy", options.propagation);
  const Json preconditions = body.value("preconditions", Json::object());
  options.uid = preconditions.value("uid", "");
  options.version = preconditions.value("resourceVersion", "");
  options.dry_run = !body.value("dryRun", Json::array()).empty() || query.contains("dryRun");
  return options;
}

Answer Deleted(const Kind& kind, const Json& object) {
  if (kind.returned) return {200, Stamped(kind, object)};
  Json details = {{"name", object["metadata"]["name"]},
                  {"kind", kind.plural},
                  {"uid", object["metadata"]["uid"]}};
  if (!kind.group.empty()) details["group"] = kind.group;
  return {200,
          {{"kind", "Status"},
           {"apiVersion", "v1"},
           {"metadata", Json::object()},
           {"status", "Success"},
           {"details", details}}};
}

// How long a pod gets: none when nobody runs it, or it has ended.
std::int64_t GraceOf(const Kind& kind, const Json& object, const Options& options) {
  if (kind.plural != "pods") return 0;
  const Json spec = object.value("spec", Json::object());
  const std::string phase = object.value(Json::json_pointer("/status/phase"), "");
  if (spec.value("nodeName", "").empty() || phase == "Succeeded" || phase == "Failed") return 0;
  return options.grace.value_or(spec.value("terminationGracePeriodSeconds", 30));
}

Answer DeleteObject(Core& core, const Kind& kind, const Json& before, const Options& options) {
  const Json& metadata = before["metadata"];
  const std::string name = metadata["name"];
  const auto differs = [&metadata](const std::string& wanted, const char* key) {
    return !wanted.empty() && metadata[key] != wanted;
  };
  if (differs(options.uid, "uid")) {
    return Conflict(kind, name,
                    "Precondition failed: UID in precondition: " + options.uid +
                        ", UID in object meta: " + metadata["uid"].get<std::string>());
  }
  if (differs(options.version, "resourceVersion")) {
    return Conflict(
        kind, name,
        "Precondition failed: ResourceVersion in precondition: " + options.version +
            ", ResourceVersion in object meta: " + metadata["resourceVersion"].get<std::string>());
  }
  Json object = before;
  Json finalizers = metadata.value("finalizers", Json::array());
  if (options.propagation == "Foreground") finalizers.push_back("foregroundDeletion");
  if (options.propagation == "Orphan") finalizers.push_back("orphan");
  if (!finalizers.empty() && !metadata.contains("deletionTimestamp")) {
    object["metadata"]["finalizers"] = finalizers;
  }
  std::int64_t grace = GraceOf(kind, before, options);
  const bool again = metadata.contains("deletionTimestamp");
  if (again) grace = std::min(grace, metadata.value("deletionGracePeriodSeconds", grace));
  const bool waits = grace > 0 || !finalizers.empty() || kind.plural == "namespaces";
  if (options.dry_run) return Deleted(kind, object);
  if (!waits) {
    core.history.Remove(kind, metadata.value("namespace", ""), name);
    return Deleted(kind, object);
  }
  object["metadata"]["deletionTimestamp"] =
      Rfc3339(core.clock.WallNow() + std::chrono::seconds(grace));
  object["metadata"]["deletionGracePeriodSeconds"] = grace;
  if (kind.plural == "namespaces") {
    object["metadata"].erase("deletionGracePeriodSeconds");
    object["status"]["phase"] = "Terminating";
  }
  if (!again && kind.generation) {
    object["metadata"]["generation"] = metadata.value("generation", 0) + 1;
  }
  if (again && object["metadata"]["deletionGracePeriodSeconds"] ==
                   metadata.value("deletionGracePeriodSeconds", Json())) {
    return Deleted(kind, before);
  }
  return Deleted(kind, core.history.Put(kind, std::move(object)));
}

// None: the budgets have nothing against it.
std::optional<Answer> CheckBudgets(const Core& core, const std::string& ns, const Json& pod) {
  const std::string phase = pod["status"].value("phase", "");
  if (phase == "Succeeded" || phase == "Failed" || phase == "Pending" ||
      pod["metadata"].contains("deletionTimestamp")) {
    return std::nullopt;
  }
  std::vector<Json> budgets;
  for (Json& budget : core.history.List(KindOf("poddisruptionbudgets"), ns, Selectors())) {
    if (Selectors::FromObject(budget["spec"].value("selector", Json::object())).Matches(pod)) {
      budgets.push_back(std::move(budget));
    }
  }
  if (budgets.empty()) return std::nullopt;
  if (budgets.size() > 1) {
    return Refusal(500, "InternalError",
                   "This pod has more than one PodDisruptionBudget, which the eviction subresource "
                   "does not support.");
  }
  const BudgetState state = StateOf(budgets[0], core.history.List(KindOf("pods"), ns, Selectors()));
  const std::string policy = budgets[0]["spec"].value("unhealthyPodEvictionPolicy", "");
  if (!IsReady(pod) && (policy == "AlwaysAllow" || state.healthy >= state.desired)) {
    return std::nullopt;
  }
  if (state.healthy > state.desired) return std::nullopt;
  const std::string message = "The disruption budget " + budgets[0]["metadata"].value("name", "") +
                              " needs " + std::to_string(state.desired) + " healthy pods and has " +
                              std::to_string(state.healthy) + " currently";
  return Refusal(429, "TooManyRequests",
                 "Cannot evict pod as it would violate the pod's disruption budget.",
                 {{"causes", {{{"reason", "DisruptionBudget"}, {"message", message}}}}});
}

}  // namespace

Answer Delete(Core& core, const Route& route, const Request& request) {
  const Json* before = core.history.Find(*route.kind, route.ns, route.name);
  if (before == nullptr) return NotFound(*route.kind, route.name);
  Json body = Json::object();
  if (!request.body.empty()) {
    Answer refusal;
    auto parsed = BodyOf(request, &refusal);
    if (!parsed) return refusal;
    body = *std::move(parsed);
  }
  return DeleteObject(core, *route.kind, Json(*before), OptionsOf(body, request.query));
}

Answer DeleteCollection(Core& core, const Route& route, const Request& request) {
  Answer listed = List(core, route, request);
  if (listed.code != 200) return listed;
  Json body = request.body.empty() ? Json::object() : Json::parse(request.body, nullptr, false);
  if (!body.is_object()) body = Json::object();
  for (const Json& item : listed.body["items"]) {
    const Json* object = core.history.Find(*route.kind, item["metadata"].value("namespace", ""),
                                           item["metadata"].value("name", ""));
    DeleteObject(core, *route.kind, Json(*object), OptionsOf(body, request.query));
  }
  return listed;
}

Answer Evict(Core& core, const Route& route, const Request& request) {
  Answer refusal;
  const auto body = BodyOf(request, &refusal);
  if (!body) return refusal;
  const Kind& pods = KindOf("pods");
  const Json* found = core.history.Find(pods, route.ns, route.name);
  if (found == nullptr) return NotFound(pods, route.name);
  Json pod = *found;
  if (auto refused = CheckBudgets(core, route.ns, pod)) return *refused;
  const Options options = OptionsOf(body->value("deleteOptions", Json::object()), request.query);
  const Answer success = {201,
                          {{"kind", "Status"},
                           {"apiVersion", "v1"},
                           {"metadata", Json::object()},
                           {"status", "Success"},
                           {"code", 201}}};
  if (options.dry_run) return success;
  if (!pod["metadata"].contains("deletionTimestamp")) {
    Json& conditions = pod["status"]["conditions"];
    if (!conditions.is_array()) conditions = Json::array();
    conditions.push_back({{"type", "DisruptionTarget"},
                          {"status", "True"},
                          {"reason", "EvictionByEvictionAPI"},
                          {"message", "Eviction API: evicting"},
                          {"lastTransitionTime", core.Now()}});
    pod = core.history.Put(pods, std::move(pod));
  }
  const Answer deleted = DeleteObject(core, pods, pod, options);
  return deleted.code == 200 ? success : deleted;
}

}  // namespace muster::kubetest
