// JSON Patch.
#include "tests/kube/patch.h"

namespace muster::kubetest {
namespace {

absl::Status Failed(const std::string& op, const std::string& path) {
  return base::FailedPrecondition(op + " operation does not apply: " + path);
}

// The container that the last step of `pointer` is in; none: there is none.
Json* ParentOf(const Json::json_pointer& pointer, Json& object) {
  if (pointer.empty()) return nullptr;
  const Json::json_pointer parent = pointer.parent_pointer();
  if (!object.contains(parent)) return nullptr;
  Json& container = object[parent];
  return container.is_structured() ? &container : nullptr;
}

absl::Status Add(const Json::json_pointer& pointer, const std::string& path, const Json& value,
                 Json& object) {
  if (pointer.empty()) {
    object = value;
    return absl::OkStatus();
  }
  Json* parent = ParentOf(pointer, object);
  if (parent == nullptr) return Failed("add", path);
  if (parent->is_object()) {
    (*parent)[pointer.back()] = value;
    return absl::OkStatus();
  }
  const std::string& at = pointer.back();
  const std::size_t index = at == "-" ? parent->size() : std::stoul(at);
  if (index > parent->size()) return Failed("add", path);
  parent->insert(parent->begin() + static_cast<std::ptrdiff_t>(index), value);
  return absl::OkStatus();
}

absl::Status ApplyOne(const Json& operation, Json& object) {
  const std::string op = operation.value("op", "");
  const std::string path = operation.value("path", "");
  const Json::json_pointer pointer(path);
  const Json value = operation.value("value", Json());
  const bool there = object.contains(pointer);
  if (op == "test") {
    if (!there) {
      return value.is_null() && ParentOf(pointer, object) != nullptr ? absl::OkStatus()
                                                                     : Failed(op, path);
    }
    return object[pointer] == value ? absl::OkStatus() : Failed(op, path);
  }
  if (op == "add") return Add(pointer, path, value, object);
  if (op == "replace") {
    if (!there) return Failed(op, path);
    object[pointer] = value;
    return absl::OkStatus();
  }
  if (op == "remove") {
    if (!there || pointer.empty()) return Failed(op, path);
    Json& parent = object[pointer.parent_pointer()];
    if (parent.is_array()) {
      parent.erase(std::stoul(pointer.back()));
    } else {
      parent.erase(pointer.back());
    }
    return absl::OkStatus();
  }
  return base::InvalidArgument("unexpected kind of operation: " + op);
}

}  // namespace

absl::Status ApplyJsonPatch(const Json& patch, Json& object) {
  if (!patch.is_array()) return base::InvalidArgument("a JSON Patch is a list of operations");
  try {
    for (const Json& operation : patch) {
      if (!operation.is_object()) return base::InvalidArgument("an operation is an object");
      MUSTER_RETURN_IF_ERROR(ApplyOne(operation, object));
    }
  } catch (const std::exception& e) {
    return base::FailedPrecondition(e.what());
  }
  return absl::OkStatus();
}

}  // namespace muster::kubetest
