#include "operator/kube/json.h"

#include <nlohmann/json.hpp>

namespace muster::kube {

absl::StatusOr<Json> ParseObject(std::string_view text, std::string_view what) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) {
    return base::InvalidArgument(std::string(what) + " is not a JSON object");
  }
  return json;
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json& At(const Json& json, std::initializer_list<const char*> path) {
  static const Json kNothing;
  const Json* at = &json;
  for (const char* key : path) {
    if (!at->is_object()) return kNothing;
    const auto it = at->find(key);
    if (it == at->end()) return kNothing;
    at = &*it;
  }
  return *at;
}

std::string TextAt(const Json& json, std::initializer_list<const char*> path) {
  const Json& found = At(json, path);
  return found.is_string() ? found.get<std::string>() : std::string();
}

std::int64_t IntegerAt(const Json& json, std::initializer_list<const char*> path,
                       std::int64_t otherwise) {
  const Json& found = At(json, path);
  return found.is_number_integer() ? found.get<std::int64_t>() : otherwise;
}

bool BoolAt(const Json& json, std::initializer_list<const char*> path) {
  const Json& found = At(json, path);
  return found.is_boolean() && found.get<bool>();
}

}  // namespace muster::kube
