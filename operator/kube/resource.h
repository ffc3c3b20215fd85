// Which kind of object, which object, and the paths under which an API server keeps them.
//
// Values only, pure. Path segments and query values are percent-encoded here and nowhere else.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::kube {

// A kind, as discovery names it. All texts are literals.
struct Resource {
  std::string_view group;  // empty: the core group
  std::string_view version;
  std::string_view plural;
  std::string_view kind;
  bool namespaced = true;
  friend bool operator==(const Resource&, const Resource&) = default;
};

inline constexpr Resource kPods{"", "v1", "pods", "Pod"};
inline constexpr Resource kServices{"", "v1", "services", "Service"};
inline constexpr Resource kConfigMaps{"", "v1", "configmaps", "ConfigMap"};
inline constexpr Resource kSecrets{"", "v1", "secrets", "Secret"};
inline constexpr Resource kNodes{"", "v1", "nodes", "Node", false};
inline constexpr Resource kNamespaces{"", "v1", "namespaces", "Namespace", false};
inline constexpr Resource kLeases{"coordination.k8s.io", "v1", "leases", "Lease"};
inline constexpr Resource kEvents{"events.k8s.io", "v1", "events", "Event"};
inline constexpr Resource kDisruptionBudgets{"policy", "v1", "poddisruptionbudgets",
                                             "PodDisruptionBudget"};
inline constexpr Resource kNetworkPolicies{"networking.k8s.io", "v1", "networkpolicies",
                                           "NetworkPolicy"};
inline constexpr Resource kTokenReviews{"authentication.k8s.io", "v1", "tokenreviews",
                                        "TokenReview", false};
inline constexpr Resource kTrainingJobs{"muster.dev", "v1alpha1", "trainingjobs", "TrainingJob"};

// "v1", "apps/v1": what an object of it says as its apiVersion.
std::string ApiVersion(const Resource& resource);

// One object of a known kind. `ns` is empty for kinds without namespaces.
struct ObjectKey {
  std::string ns;
  std::string name;
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};
// The same, of somebody who keeps the words.
struct KeyView {
  std::string_view ns;
  std::string_view name;
  KeyView(std::string_view in, std::string_view named) : ns(in), name(named) {}
  KeyView(const ObjectKey& key) : ns(key.ns), name(key.name) {}
  friend auto operator<=>(const KeyView&, const KeyView&) = default;
};
// "namespace/name", or the name alone.
std::string ToString(const ObjectKey& key);

// "/apis/muster.dev/v1alpha1/namespaces/ns/trainingjobs". An empty `ns`: all namespaces.
std::string CollectionPath(const Resource& resource, std::string_view ns);
// The collection's path, "/name", and "/subresource" if there is one.
std::string ObjectPath(const Resource& resource, const ObjectKey& key,
                       std::string_view subresource = "");

// "get pods ns/name": what a request is called in messages. `rest` may be empty.
std::string RequestName(std::string_view verb, const Resource& resource, std::string_view rest);

using Query = std::vector<std::pair<std::string, std::string>>;
// "path?a=b&c=d"; parameters with an empty value are left out.
std::string Target(std::string path, const Query& query);
std::string PercentEncoded(std::string_view text);

}  // namespace muster::kube
