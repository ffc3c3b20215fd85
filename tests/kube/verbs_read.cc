// Reading: one object, and lists in consistent pages.
#include <charconv>

#include "tests/kube/verbs.h"

namespace muster::kubetest {

std::string Core::NewUid() {
  std::string digits = std::to_string(++uids);
  return "00000000-0000-4000-8000-" + std::string(12 - digits.size(), '0') + digits;
}

std::string ManagerOf(const Request& request) {
  if (const auto at = request.query.find("fieldManager"); at != request.query.end()) {
    return at->second;
  }
  const std::string agent = request.user_agent.substr(0, request.user_agent.find('/'));
  return agent.empty() ? "unknown" : agent;
}

bool IsDryRun(const Request& request) {
  const auto at = request.query.find("dryRun");
  return at != request.query.end() && at->second == "All";
}

std::optional<Json> BodyOf(const Request& request, Answer* refusal) {
  Json body = Json::parse(request.body, nullptr, false);
  if (body.is_object()) return body;
  *refusal = BadRequest("the object provided is unrecognized: it is not a JSON object");
  return std::nullopt;
}

bool IsReady(const Json& pod) {
  for (const Json& condition : pod.value(Json::json_pointer("/status/conditions"), Json::array())) {
    if (condition.value("type", "") == "Ready") return condition.value("status", "") == "True";
  }
  return false;
}

Json Stamped(const Kind& kind, Json object) {
  object["apiVersion"] = ApiVersionOf(kind);
  object["kind"] = kind.kind;
  return object;
}

Answer Get(const Core& core, const Route& route) {
  const Json* object = core.history.Find(*route.kind, route.ns, route.name);
  if (object == nullptr) return NotFound(*route.kind, route.name);
  return {200, Stamped(*route.kind, *object)};
}

Answer List(Core& core, const Route& route, const Request& request) {
  const auto parameter = [&request](const char* name) {
    const auto at = request.query.find(name);
    return at == request.query.end() ? std::string() : at->second;
  };
  const auto selectors =
      Selectors::Parse(*route.kind, parameter("labelSelector"), parameter("fieldSelector"));
  if (!selectors.ok()) return BadRequest(base::Message(selectors.status()));
  std::uint64_t limit = 0;
  const std::string asked = parameter("limit");
  std::from_chars(asked.data(), asked.data() + asked.size(), limit);

  std::uint64_t version = core.history.version();
  std::vector<Json> items;
  if (const std::string token = parameter("continue"); !token.empty()) {
    auto rest = core.history.TakeRest(token);
    if (!rest && !token.starts_with("rest-")) return BadRequest("continue key is not valid");
    if (!rest) {
      return Refusal(410, "Expired",
                     "The provided continue parameter is too old to display a consistent list "
                     "result. You can start a new list without the continue parameter.");
    }
    version = rest->first;
    items = std::move(rest->second);
  } else {
    items = core.history.List(*route.kind, route.ns, *selectors);
  }

  Json metadata = {{"resourceVersion", std::to_string(version)}};
  if (limit > 0 && items.size() > limit) {
    const auto cut = items.begin() + static_cast<std::ptrdiff_t>(limit);
    std::vector<Json> rest(cut, items.end());
    items.erase(cut, items.end());
    if (selectors->empty()) metadata["remainingItemCount"] = rest.size();
    metadata["continue"] = core.history.KeepRest(version, std::move(rest));
  }
  Json list = Json::array();
  for (Json& item : items) {
    list.push_back(route.kind->custom ? Stamped(*route.kind, std::move(item)) : std::move(item));
  }
  return {200,
          {{"kind", std::string(route.kind->kind) + "List"},
           {"apiVersion", ApiVersionOf(*route.kind)},
           {"metadata", std::move(metadata)},
           {"items", std::move(list)}}};
}

}  // namespace muster::kubetest
