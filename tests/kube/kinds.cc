#include "tests/kube/kinds.h"

#include <algorithm>

#include "operator/base/check.h"

namespace muster::kubetest {
namespace {

std::string Decoded(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::vector<std::string> Segments(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    if (slash != 0) out.push_back(Decoded(path.substr(0, slash)));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return out;
}

}  // namespace

const std::vector<Kind>& Kinds() {
  static const std::vector<Kind> kinds = {
      {.version = "v1",
       .plural = "pods",
       .kind = "Pod",
       .status = true,
       .generation = true,
       .returned = true},
      {.version = "v1", .plural = "nodes", .kind = "Node", .namespaced = false, .status = true},
      {.version = "v1",
       .plural = "namespaces",
       .kind = "Namespace",
       .namespaced = false,
       .status = true,
       .returned = true},
      {.version = "v1", .plural = "configmaps", .kind = "ConfigMap"},
      {.version = "v1", .plural = "secrets", .kind = "Secret"},
      {.version = "v1", .plural = "services", .kind = "Service", .status = true, .returned = true},
      {.group = "events.k8s.io",
       .version = "v1",
       .plural = "events",
       .kind = "Event",
       .created_by_put = true},
      {.group = "coordination.k8s.io",
       .version = "v1",
       .plural = "leases",
       .kind = "Lease",
       .created_by_put = true},
      {.group = "policy",
       .version = "v1",
       .plural = "poddisruptionbudgets",
       .kind = "PodDisruptionBudget",
       .status = true,
       .generation = true},
      {.group = "networking.k8s.io",
       .version = "v1",
       .plural = "networkpolicies",
       .kind = "NetworkPolicy",
       .generation = true},
      {.group = "authentication.k8s.io",
       .version = "v1",
       .plural = "tokenreviews",
       .kind = "TokenReview",
       .namespaced = false},
      {.group = "muster.dev",
       .version = "v1alpha1",
       .plural = "trainingjobs",
       .kind = "TrainingJob",
       .status = true,
       .scale = true,
       .custom = true,
       .generation = true},
  };
  return kinds;
}

const Kind* FindKind(std::string_view group, std::string_view version, std::string_view plural) {
  for (const Kind& kind : Kinds()) {
    if (kind.group == group && kind.version == version && kind.plural == plural) return &kind;
  }
  return nullptr;
}

const Kind& KindOf(std::string_view plural) {
  const auto at = std::ranges::find(Kinds(), plural, &Kind::plural);
  MUSTER_CHECK(at != Kinds().end(), "the double knows no kind " + std::string(plural));
  return *at;
}

std::string ApiVersionOf(const Kind& kind) {
  return (kind.group.empty() ? "" : std::string(kind.group) + "/") + std::string(kind.version);
}

std::string QualifiedName(const Kind& kind) {
  return std::string(kind.plural) + (kind.group.empty() ? "" : "." + std::string(kind.group));
}

Query ParseQuery(std::string_view text) {
  Query query;
  while (!text.empty()) {
    const std::size_t end = text.find('&');
    const std::string_view part = text.substr(0, end);
    const std::size_t equals = part.find('=');
    if (equals != std::string_view::npos) {
      query[Decoded(part.substr(0, equals))] = Decoded(part.substr(equals + 1));
    } else if (!part.empty()) {
      query[Decoded(part)] = "";
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return query;
}

std::optional<Route> ParsePath(std::string_view path) {
  std::vector<std::string> parts = Segments(path);
  std::size_t i = 0;
  std::string group;
  if (parts.size() >= 3 && parts[0] == "api") {
    i = 1;
  } else if (parts.size() >= 4 && parts[0] == "apis") {
    group = parts[1];
    i = 2;
  } else {
    return std::nullopt;
  }
  const std::string version = parts[i++];
  Route route;
  // "namespaces/x" is the namespace itself, "namespaces/x/pods" lies in it; of its own
  // subresources there is only status.
  if (parts[i] == "namespaces" && parts.size() >= i + 3 && parts[i + 2] != "status" &&
      parts[i + 2] != "finalize") {
    route.ns = parts[i + 1];
    i += 2;
  }
  route.kind = FindKind(group, version, parts[i++]);
  if (route.kind == nullptr || (!route.ns.empty() && !route.kind->namespaced)) return std::nullopt;
  if (i < parts.size()) route.name = parts[i++];
  if (i < parts.size()) route.subresource = parts[i++];
  if (i < parts.size()) return std::nullopt;
  return route;
}

}  // namespace muster::kubetest
