// What several projections read. Internal to operator/kube.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>

#include "operator/base/status.h"
#include "operator/base/time.h"
#include "operator/kube/json.h"

namespace muster::kube {

// RFC 3339; nothing when it is not there. InvalidArgument names the field.
absl::Status ReadTime(const Json& json, std::initializer_list<const char*> path,
                      std::optional<base::WallTime>& out);
// The uid of the owner that controls the object; empty: none does.
std::string ControllerUid(const Json& object);
// At most kMostMessageBytes, and no character cut in two.
std::string Shortened(std::string text);
std::string Cut(std::string text, std::size_t most);

}  // namespace muster::kube
