// The garbage collector and the namespace controller: what goes when its owner goes.
#include <algorithm>

#include "tests/kube/players.h"

namespace muster::kubetest {
namespace {

std::string PathOf(const Kind& kind, const Json& object) {
  const std::string ns = object["metadata"].value("namespace", "");
  return (kind.group.empty() ? "/api/" : "/apis/") + ApiVersionOf(kind) +
         (ns.empty() ? "" : "/namespaces/" + ns) + "/" + std::string(kind.plural) + "/" +
         object["metadata"].value("name", "");
}

bool HasFinalizer(const Json& object, const std::string& name) {
  const Json finalizers = object["metadata"].value("finalizers", Json::array());
  return std::find(finalizers.begin(), finalizers.end(), name) != finalizers.end();
}

bool IsOwnedBy(const Json& object, const std::string& uid) {
  return std::ranges::any_of(object["metadata"].value("ownerReferences", Json::array()),
                             [&uid](const Json& owner) { return owner.value("uid", "") == uid; });
}

// By an update without the finalizer: the last one ends the object.
bool DropFinalizer(ApiDouble& api, const Kind& kind, const Json& object, const std::string& name) {
  Json kept = Json::array();
  for (const Json& finalizer : object["metadata"]["finalizers"]) {
    if (finalizer != name) kept.push_back(finalizer);
  }
  return api.Ask("PATCH", PathOf(kind, object), {{"metadata", {{"finalizers", kept}}}},
                 "application/merge-patch+json")
             .code == 200;
}

template <typename Visit>
void ForEachObject(const ApiDouble& api, Visit visit) {
  for (const Kind& kind : Kinds()) {
    if (kind.plural == "tokenreviews") continue;
    for (const Json& object : api.All(std::string(kind.plural))) visit(kind, object);
  }
}

}  // namespace

bool Players::CollectOne(const Kind& kind, const Json& object) {
  if (object["metadata"].contains("deletionTimestamp")) return false;
  const Json owners = object["metadata"].value("ownerReferences", Json::array());
  if (owners.empty()) return false;
  const bool orphaned = std::ranges::none_of(
      owners, [this](const Json& owner) { return api_.HasUid(owner.value("uid", "")); });
  if (!orphaned) return false;
  return api_.Ask("DELETE", PathOf(kind, object),
                  {{"propagationPolicy", "Background"},
                   {"preconditions", {{"uid", object["metadata"]["uid"]}}}})
             .code == 200;
}

bool Players::EndForeground(const Kind& kind, const Json& object) {
  if (!HasFinalizer(object, "foregroundDeletion")) return false;
  const std::string uid = object["metadata"]["uid"];
  bool blocked = false;
  bool changed = false;
  ForEachObject(api_, [&](const Kind& other, const Json& dependent) {
    if (!IsOwnedBy(dependent, uid)) return;
    blocked = true;
    if (dependent["metadata"].contains("deletionTimestamp")) return;
    changed = api_.Ask("DELETE", PathOf(other, dependent), Json::object()).code == 200 || changed;
  });
  return blocked ? changed : DropFinalizer(api_, kind, object, "foregroundDeletion");
}

bool Players::Orphan(const Kind& kind, const Json& object) {
  if (!HasFinalizer(object, "orphan")) return false;
  const std::string uid = object["metadata"]["uid"];
  ForEachObject(api_, [&](const Kind& other, const Json& dependent) {
    if (!IsOwnedBy(dependent, uid)) return;
    api_.Change(std::string(other.plural), dependent["metadata"].value("namespace", ""),
                dependent["metadata"]["name"], [&uid](Json& after) {
                  Json kept = Json::array();
                  for (const Json& owner : after["metadata"]["ownerReferences"]) {
                    if (owner.value("uid", "") != uid) kept.push_back(owner);
                  }
                  after["metadata"]["ownerReferences"] = kept;
                });
  });
  return DropFinalizer(api_, kind, object, "orphan");
}

bool Players::EmptyNamespace(const Json& ns) {
  if (!ns["metadata"].contains("deletionTimestamp")) return false;
  const std::string name = ns["metadata"]["name"];
  bool left = false;
  bool changed = false;
  for (const Kind& kind : Kinds()) {
    if (!kind.namespaced) continue;
    for (const Json& object : api_.All(std::string(kind.plural), name)) {
      left = true;
      if (object["metadata"].contains("deletionTimestamp")) continue;
      changed = api_.Ask("DELETE", PathOf(kind, object), Json::object()).code == 200 || changed;
    }
  }
  if (left) return changed;
  api_.Remove("namespaces", "", name);
  return true;
}

int Players::Collect() {
  int changed = 0;
  ForEachObject(api_, [&](const Kind& kind, const Json& object) {
    const bool moved = EndForeground(kind, object) || Orphan(kind, object) ||
                       CollectOne(kind, object) ||
                       (kind.plural == "namespaces" && EmptyNamespace(object));
    changed += moved ? 1 : 0;
  });
  return changed;
}

}  // namespace muster::kubetest
