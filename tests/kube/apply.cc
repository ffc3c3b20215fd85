// Server-side apply, and who owns what after any other write.
#include <algorithm>

#include "tests/kube/patch.h"

namespace muster::kubetest {
namespace {

Owner& OwnerFor(std::vector<Owner>& owners, const std::string& manager,
                const std::string& operation, const std::string& subresource) {
  for (Owner& owner : owners) {
    if (owner.manager == manager && owner.operation == operation &&
        owner.subresource == subresource) {
      return owner;
    }
  }
  return owners.emplace_back(Owner{manager, operation, subresource, {}, ""});
}

std::string Dotted(const FieldPath& path) {
  std::string out;
  for (const std::string& step : path) {
    out += step.starts_with("k:") ? "[" + step.substr(2) + "]" : "." + step.substr(2);
  }
  return out;
}

}  // namespace

std::vector<Owner> OwnersOf(const Json& object) {
  std::vector<Owner> owners;
  for (const Json& entry :
       object.value(Json::json_pointer("/metadata/managedFields"), Json::array())) {
    owners.push_back(
        {entry.value("manager", ""), entry.value("operation", ""), entry.value("subresource", ""),
         FromFieldsV1(entry.value("fieldsV1", Json::object())), entry.value("time", "")});
  }
  return owners;
}

void SetOwners(const std::vector<Owner>& owners, const std::string& api_version, Json& object) {
  Json list = Json::array();
  for (const Owner& owner : owners) {
    if (owner.fields.empty()) continue;
    Json entry = {{"manager", owner.manager},  {"operation", owner.operation},
                  {"apiVersion", api_version}, {"time", owner.time},
                  {"fieldsType", "FieldsV1"},  {"fieldsV1", FieldsV1(owner.fields)}};
    if (!owner.subresource.empty()) entry["subresource"] = owner.subresource;
    list.push_back(std::move(entry));
  }
  if (list.empty()) {
    object["metadata"].erase("managedFields");
  } else {
    object["metadata"]["managedFields"] = std::move(list);
  }
}

std::vector<FieldConflict> Apply(const std::string& manager, const std::string& subresource,
                                 const Json& applied, bool force, const std::string& time,
                                 Json& object) {
  std::vector<Owner> owners = OwnersOf(object);
  const FieldSet wanted = LeavesOf(applied);
  std::vector<FieldConflict> conflicts;
  for (Owner& owner : owners) {
    if (owner.manager == manager && owner.operation == "Apply" &&
        owner.subresource == subresource) {
      continue;
    }
    FieldSet kept;
    for (const FieldPath& path : owner.fields) {
      const bool contested =
          wanted.contains(path) && ValueAt(object, path) != ValueAt(applied, path);
      if (contested) conflicts.push_back({owner.manager, Dotted(path)});
      if (!contested) kept.insert(path);
    }
    if (force) owner.fields = std::move(kept);
  }
  if (!conflicts.empty() && !force) return conflicts;

  Owner& mine = OwnerFor(owners, manager, "Apply", subresource);
  const FieldSet dropped = mine.fields;
  if (mine.fields != wanted) mine.time = time;
  mine.fields = wanted;
  for (const FieldPath& path : dropped) {
    const bool owned = std::ranges::any_of(
        owners, [&path](const Owner& owner) { return owner.fields.contains(path); });
    if (!owned) RemoveAt(object, path);
  }
  Json merged = applied;
  for (const auto& [key, value] : merged.items()) MergeApplied(value, key, object[key]);
  SetOwners(owners, object.value("apiVersion", ""), object);
  return {};
}

void TakeOver(const std::string& manager, const std::string& subresource, const Json& before,
              const std::string& time, Json& object) {
  std::vector<Owner> owners = OwnersOf(object);
  const FieldSet now = LeavesOf(object);
  FieldSet changed;
  for (const FieldPath& path : now) {
    if (ValueAt(before, path) != ValueAt(object, path)) changed.insert(path);
  }
  for (Owner& owner : owners) {
    std::erase_if(owner.fields, [&](const FieldPath& path) {
      return changed.contains(path) || !ValueAt(object, path);
    });
  }
  if (!changed.empty()) {
    Owner& mine = OwnerFor(owners, manager, "Update", subresource);
    mine.fields.insert(changed.begin(), changed.end());
    mine.time = time;
  }
  SetOwners(owners, object.value("apiVersion", ""), object);
}

}  // namespace muster::kubetest
