// The schema told to a person: `muster explain` and `muster validate --schema`.
#pragma once

#include <string>

#include "operator/base/status.h"

namespace muster::cli {

// A path, a part of one, or a field's name; "" is everything. NotFound names the nearest field.
absl::StatusOr<std::string> Explain(const std::string& field);

// One line a field: path, type and range, default.
std::string SchemaTable();

}  // namespace muster::cli
