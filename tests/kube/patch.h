// JSON Patch and server-side apply as an API server does them. Pure.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "operator/base/status.h"
#include "tests/kube/kinds.h"

namespace muster::kubetest {

// RFC 6902 (test, add, replace, remove), with the library's one liberty that matters: a `test` for
// null holds where the last step of the path is missing. InvalidArgument: it is no JSON Patch.
// FailedPrecondition: an operation did not apply; `object` may then be half changed.
absl::Status ApplyJsonPatch(const Json& patch, Json& object);

// ---- field ownership, simplified: sets of leaf paths. A list is one leaf, except those whose
// items have a key (conditions by type, containers by name, ...), and those of plain values that
// are sets (finalizers).

// A path of `f:name` and `k:{"type":"Ready"}` steps.
using FieldPath = std::vector<std::string>;
using FieldSet = std::set<FieldPath>;

FieldSet LeavesOf(const Json& object);
Json FieldsV1(const FieldSet& fields);
FieldSet FromFieldsV1(const Json& fields);
// Nothing where the path leads nowhere.
std::optional<Json> ValueAt(const Json& object, const FieldPath& path);
void RemoveAt(Json& object, const FieldPath& path);
// Puts `applied` over `object`, keyed lists item by item.
void MergeApplied(const Json& applied, const std::string& field, Json& object);

// Whose fields are whose: metadata.managedFields as sets.
struct Owner {
  std::string manager;
  std::string operation;    // Apply | Update
  std::string subresource;  // empty: the object itself
  FieldSet fields;
  std::string time;
};
std::vector<Owner> OwnersOf(const Json& object);
void SetOwners(const std::vector<Owner>& owners, const std::string& api_version, Json& object);

struct FieldConflict {
  std::string manager;
  std::string field;  // ".spec.replicas"
};
// Merges `applied` into `object` for (manager, subresource): what it owned and applies no more is
// removed unless others own it too. Conflicts, when not forced: nothing is changed.
std::vector<FieldConflict> Apply(const std::string& manager, const std::string& subresource,
                                 const Json& applied, bool force, const std::string& time,
                                 Json& object);
// After any other write: what changed from `before` is `manager`'s and nobody else's.
void TakeOver(const std::string& manager, const std::string& subresource, const Json& before,
              const std::string& time, Json& object);

}  // namespace muster::kubetest
