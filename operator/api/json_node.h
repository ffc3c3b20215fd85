// JSON text to a Node and a Node to JSON text. Internal to operator/api.
#pragma once

#include <string>
#include <string_view>

#include "operator/api/node.h"
#include "operator/base/status.h"

namespace muster::api {

// InvalidArgument when it is not JSON. Lines are not known.
absl::StatusOr<Node> NodeFromJson(std::string_view json);

// One line. Plain scalars become the JSON value that they spell: a number, true, false, else a
// string.
std::string NodeToJson(const Node& node);

// What a plain scalar is.
enum class ScalarKind { kText, kInteger, kNumber, kBoolean };
ScalarKind KindOf(const Node& scalar);

}  // namespace muster::api
