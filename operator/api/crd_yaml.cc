// Block style for maps and lists, JSON's own spelling for everything inside them.
#include "operator/api/crd_yaml.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

namespace muster::api {
namespace {

using Json = nlohmann::ordered_json;

bool IsPlainKey(const std::string& key) {
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '/' || c == '-';
  };
  return !key.empty() && std::isalpha(static_cast<unsigned char>(key.front())) &&
         std::all_of(key.begin(), key.end(), plain);
}

bool IsBlock(const Json& json) { return json.is_structured() && !json.empty(); }

void Append(const Json& json, std::size_t indent, std::string& out);

// After "key:" or "-": a scalar on the same line, a block on lines of its own.
void AppendValue(const Json& value, std::size_t indent, std::string& out) {
  if (!IsBlock(value)) {
    out += " " + value.dump() + "\n";
    return;
  }
  out += "\n";
  Append(value, indent, out);
}

void AppendItem(const Json& item, std::size_t indent, std::string& out) {
  if (!item.is_object() || item.empty()) {
    out += std::string(indent, ' ') + "-";
    AppendValue(item, indent + 2, out);
    return;
  }
  const std::size_t begin = out.size();
  Append(item, indent + 2, out);
  out[begin + indent] = '-';
}

void Append(const Json& json, std::size_t indent, std::string& out) {
  if (json.is_array()) {
    for (const Json& item : json) AppendItem(item, indent, out);
    return;
  }
  for (const auto& [key, value] : json.items()) {
    out += std::string(indent, ' ') + (IsPlainKey(key) ? key : Json(key).dump()) + ":";
    AppendValue(value, indent + (value.is_array() ? 0 : 2), out);
  }
}

}  // namespace

std::string ToYaml(const Json& json) {
  std::string out;
  if (IsBlock(json)) {
    Append(json, 0, out);
  } else {
    out = json.dump() + "\n";
  }
  return out;
}

}  // namespace muster::api
