// Converts by way of the JSON library, which does not leave this file.
#include "operator/api/json_node.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace muster::api {
namespace {

using Json = nlohmann::ordered_json;

Node Scalar(std::string text, bool quoted) {
  Node node;
  node.kind = Node::Kind::kScalar;
  node.text = std::move(text);
  node.quoted = quoted;
  return node;
}

Node FromJson(const Json& json) {
  Node node;
  if (json.is_object()) {
    node.kind = Node::Kind::kMap;
    for (const auto& [key, value] : json.items()) {
      node.entries.push_back({key, 0, 0, FromJson(value)});
    }
  } else if (json.is_array()) {
    node.kind = Node::Kind::kList;
    for (const Json& item : json) node.items.push_back(FromJson(item));
  } else if (json.is_string()) {
    node = Scalar(json.get<std::string>(), true);
  } else if (!json.is_null()) {
    node = Scalar(json.dump(), false);
  }
  return node;
}

Json ToJson(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return nullptr;
    case Node::Kind::kMap: {
      Json out = Json::object();
      for (const NodeEntry& entry : node.entries) out[entry.key] = ToJson(entry.value);
      return out;
    }
    case Node::Kind::kList: {
      Json out = Json::array();
      for (const Node& item : node.items) out.push_back(ToJson(item));
      return out;
    }
    case Node::Kind::kScalar:
      break;
  }
  if (KindOf(node) == ScalarKind::kText) return node.text;
  if (KindOf(node) == ScalarKind::kBoolean) return node.text == "true";
  Json number = Json::parse(node.text, nullptr, false);
  if (number.is_number()) return number;
  double value = 0;  // a spelling that YAML knows and JSON does not: 1., +5, .5
  const char* begin = node.text.data() + (node.text.front() == '+' ? 1 : 0);
  std::from_chars(begin, node.text.data() + node.text.size(), value);
  return value;
}

}  // namespace

ScalarKind KindOf(const Node& scalar) {
  if (scalar.quoted || scalar.text.empty()) return ScalarKind::kText;
  if (scalar.text == "true" || scalar.text == "false") return ScalarKind::kBoolean;
  const char* begin = scalar.text.data();
  const char* end = begin + scalar.text.size();
  if (*begin == '+') ++begin;
  if (begin == end || *begin == '+' ||
      (*begin != '-' && *begin != '.' && (*begin < '0' || *begin > '9'))) {
    return ScalarKind::kText;  // also inf and nan, which are no numbers here
  }
  double value = 0;
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (stop != end || error == std::errc::invalid_argument || !std::isfinite(value)) {
    return ScalarKind::kText;
  }
  return scalar.text.find_first_of(".eE") == std::string::npos ? ScalarKind::kInteger
                                                               : ScalarKind::kNumber;
}

absl::StatusOr<Node> NodeFromJson(std::string_view json) {
  const Json parsed = Json::parse(json, nullptr, false);
  if (parsed.is_discarded()) return base::InvalidArgument("this is not JSON");
  return FromJson(parsed);
}

std::string NodeToJson(const Node& node) {
  return ToJson(node).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace muster::api
