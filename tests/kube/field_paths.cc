// Fields as paths: leaves of an object, what lies there, and the fieldsV1 spelling.
#include <algorithm>

#include "tests/kube/patch.h"

namespace muster::kubetest {
namespace {

// By which field the items of a list are known; empty: the list is one value.
std::string KeyOf(std::string_view list) {
  static const std::map<std::string_view, std::string> keys = {
      {"conditions", "type"},       {"containers", "name"}, {"initContainers", "name"},
      {"volumes", "name"},          {"env", "name"},        {"ownerReferences", "uid"},
      {"volumeMounts", "mountPath"}};
  const auto at = keys.find(list);
  return at == keys.end() ? "" : at->second;
}

std::string FieldOf(std::string_view step) { return std::string(step.substr(2)); }

// The item of a keyed list that a "k:{...}" step names.
Json* ItemAt(Json& list, std::string_view step) {
  const Json key = Json::parse(step.substr(2));
  for (Json& item : list) {
    if (!item.is_object()) continue;
    if (std::ranges::all_of(key.items(), [&item](const auto& part) {
          return item.contains(part.key()) && item[part.key()] == part.value();
        })) {
      return &item;
    }
  }
  return nullptr;
}

void Collect(const Json& value, const std::string& field, FieldPath& path, FieldSet& out) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, child] : value.items()) {
      path.push_back("f:" + key);
      Collect(child, key, path, out);
      path.pop_back();
    }
    return;
  }
  const std::string key = KeyOf(field);
  if (value.is_array() && !key.empty()) {
    for (const Json& item : value) {
      if (!item.is_object() || !item.contains(key)) continue;
      path.push_back("k:" + Json{{key, item[key]}}.dump());
      Collect(item, "", path, out);
      path.pop_back();
    }
    return;
  }
  out.insert(path);
}

Json* Find(Json& object, const FieldPath& path, std::size_t steps) {
  Json* at = &object;
  for (std::size_t i = 0; i < steps; ++i) {
    const std::string& step = path[i];
    if (step.starts_with("k:")) {
      at = at->is_array() ? ItemAt(*at, step) : nullptr;
    } else {
      const bool there = at->is_object() && at->contains(FieldOf(step));
      at = there ? &(*at)[FieldOf(step)] : nullptr;
    }
    if (at == nullptr) return nullptr;
  }
  return at;
}

// True: nothing is left in `at`. What has become empty goes with its last field.
bool Remove(Json& at, const FieldPath& path, std::size_t step) {
  if (path[step].starts_with("k:")) {
    Json* item = at.is_array() ? ItemAt(at, path[step]) : nullptr;
    if (item != nullptr && step + 1 < path.size() && Remove(*item, path, step + 1)) {
      at.erase(static_cast<std::size_t>(item - &at.front()));
    }
    return at.empty();
  }
  const std::string field = FieldOf(path[step]);
  if (!at.is_object() || !at.contains(field)) return false;
  if (step + 1 == path.size() || Remove(at[field], path, step + 1)) at.erase(field);
  return at.empty();
}

void Walk(const Json& fields, FieldPath& path, FieldSet& out) {
  if (fields.empty()) {
    out.insert(path);
    return;
  }
  for (const auto& [step, child] : fields.items()) {
    path.push_back(step);
    Walk(child, path, out);
    path.pop_back();
  }
}

}  // namespace

FieldSet LeavesOf(const Json& object) {
  FieldSet out;
  FieldPath path;
  Json fields = object;
  for (const char* key : {"apiVersion", "kind"}) fields.erase(key);
  if (fields.contains("metadata")) {
    for (const char* key :
         {"name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation",
          "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName"}) {
      fields["metadata"].erase(key);
    }
    if (fields["metadata"].empty()) fields.erase("metadata");
  }
  for (const auto& [key, value] : fields.items()) {
    path.push_back("f:" + key);
    Collect(value, key, path, out);
    path.pop_back();
  }
  return out;
}

Json FieldsV1(const FieldSet& fields) {
  Json out = Json::object();
  for (const FieldPath& path : fields) {
    Json* at = &out;
    for (const std::string& step : path) {
      if (!at->contains(step)) (*at)[step] = Json::object();
      at = &(*at)[step];
    }
  }
  return out;
}

FieldSet FromFieldsV1(const Json& fields) {
  FieldSet out;
  FieldPath path;
  if (!fields.empty()) Walk(fields, path, out);
  return out;
}

std::optional<Json> ValueAt(const Json& object, const FieldPath& path) {
  const Json* at = Find(const_cast<Json&>(object), path, path.size());
  return at == nullptr ? std::nullopt : std::optional<Json>(*at);
}

void RemoveAt(Json& object, const FieldPath& path) { Remove(object, path, 0); }

void MergeApplied(const Json& applied, const std::string& field, Json& object) {
  if (applied.is_object()) {
    if (!object.is_object()) object = Json::object();
    for (const auto& [key, value] : applied.items()) MergeApplied(value, key, object[key]);
    return;
  }
  const std::string key = KeyOf(field);
  if (applied.is_array() && !key.empty() && object.is_array()) {
    for (const Json& item : applied) {
      Json* there = ItemAt(object, "k:" + Json{{key, item.at(key)}}.dump());
      if (there == nullptr) {
        object.push_back(item);
      } else {
        MergeApplied(item, "", *there);
      }
    }
    return;
  }
  object = applied;
}

}  // namespace muster::kubetest
