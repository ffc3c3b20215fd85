// A JSON value as YAML in block style. Internal to operator/api; only in .cc files.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace muster::api {

// Texts are double-quoted as in JSON, which YAML reads alike; keys are plain where they can be.
std::string ToYaml(const nlohmann::ordered_json& json);

}  // namespace muster::api
