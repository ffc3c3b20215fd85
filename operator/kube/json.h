// JSON as operator/kube passes it from file to file: declared here, complete in .cc files alone.
//
// Objects of the API server cross this folder's border as text or as projections, never as this.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "operator/base/status.h"

namespace muster::kube {

// Sorted keys, and not ordered_json: that one copies all that an object holds when a key is added, so
// that a pointer into it is good for nothing.
using Json = nlohmann::json;

// InvalidArgument `what: ...` when the text is not a JSON object.
absl::StatusOr<Json> ParseObject(std::string_view text, std::string_view what);
// One line. Bytes that are not UTF-8 become U+FFFD rather than an exception.
std::string Dump(const Json& json);

// The value at a path of keys; null where something is missing or not an object on the way.
const Json& At(const Json& json, std::initializer_list<const char*> path);
// The text there; empty when there is none.
std::string TextAt(const Json& json, std::initializer_list<const char*> path);
// The integer there, else `otherwise`.
std::int64_t IntegerAt(const Json& json, std::initializer_list<const char*> path,
                       std::int64_t otherwise = 0);
bool BoolAt(const Json& json, std::initializer_list<const char*> path);

}  // namespace muster::kube
