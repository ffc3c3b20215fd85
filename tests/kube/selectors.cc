#include "tests/kube/selectors.h"

#include <algorithm>

namespace muster::kubetest {
namespace {

std::string Trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(' ') - first + 1));
}

// At commas outside of parentheses.
std::vector<std::string> Split(std::string_view text) {
  std::vector<std::string> out;
  int depth = 0;
  std::string part;
  for (const char c : text) {
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (c == ',' && depth == 0) {
      out.push_back(Trimmed(part));
      part.clear();
    } else {
      part += c;
    }
  }
  if (!Trimmed(part).empty()) out.push_back(Trimmed(part));
  return out;
}

bool FieldIsKnown(const Kind& kind, std::string_view field) {
  if (field == "metadata.name") return true;
  if (field == "metadata.namespace") return kind.namespaced;
  return kind.plural == "pods" && (field == "spec.nodeName" || field == "status.phase");
}

}  // namespace

absl::StatusOr<Selectors::LabelRule> Selectors::ParseLabelRule(std::string_view text) {
  LabelRule rule;
  const auto bad = [&text] {
    return base::InvalidArgument("unable to parse requirement: " + std::string(text));
  };
  if (const auto open = text.find('('); open != std::string_view::npos) {
    if (text.back() != ')') return bad();
    const std::string head = Trimmed(text.substr(0, open));
    const auto space = head.find(' ');
    if (space == std::string::npos) return bad();
    rule.key = head.substr(0, space);
    const std::string op = Trimmed(std::string_view(head).substr(space));
    if (op != "in" && op != "notin") return bad();
    rule.op = op == "in" ? Operator::kIn : Operator::kNotIn;
    rule.values = Split(text.substr(open + 1, text.size() - open - 2));
    return rule;
  }
  if (const auto equals = text.find('='); equals != std::string_view::npos) {
    const bool negated = equals > 0 && text[equals - 1] == '!';
    rule.op = negated ? Operator::kNotIn : Operator::kIn;
    rule.key = Trimmed(text.substr(0, equals - (negated ? 1 : 0)));
    std::string_view value = text.substr(equals + 1);
    if (!value.empty() && value.front() == '=') value.remove_prefix(1);
    rule.values = {Trimmed(value)};
    if (rule.key.empty() || rule.key.find(' ') != std::string::npos) return bad();
    return rule;
  }
  rule.op = text.starts_with('!') ? Operator::kAbsent : Operator::kExists;
  rule.key = Trimmed(rule.op == Operator::kAbsent ? text.substr(1) : text);
  if (rule.key.empty() || rule.key.find(' ') != std::string::npos) return bad();
  return rule;
}

absl::StatusOr<Selectors> Selectors::Parse(const Kind& kind, std::string_view labels,
                                           std::string_view fields) {
  Selectors selectors;
  for (const std::string& text : Split(labels)) {
    MUSTER_ASSIGN_OR_RETURN(LabelRule rule, ParseLabelRule(text));
    selectors.labels_.push_back(std::move(rule));
  }
  for (const std::string& text : Split(fields)) {
    const auto equals = text.find('=');
    const bool negated = equals != std::string::npos && equals > 0 && text[equals - 1] == '!';
    const std::string field = text.substr(0, equals - (negated ? 1 : 0));
    if (equals == std::string::npos || !FieldIsKnown(kind, field)) {
      return base::InvalidArgument("field label not supported: " + field);
    }
    std::string value = text.substr(equals + 1);
    if (value.starts_with('=')) value.erase(0, 1);
    std::string pointer = "/" + field;
    std::ranges::replace(pointer, '.', '/');
    selectors.fields_.push_back({Json::json_pointer(pointer), value, !negated});
  }
  return selectors;
}

Selectors Selectors::FromObject(const Json& selector) {
  Selectors selectors;
  const Json labels = selector.value("matchLabels", Json::object());
  for (const auto& [key, value] : labels.items()) {
    selectors.labels_.push_back({key, Operator::kIn, {value.get<std::string>()}});
  }
  for (const Json& expression : selector.value("matchExpressions", Json::array())) {
    const std::string op = expression.value("operator", "");
    selectors.labels_.push_back({expression.value("key", ""),
                                 op == "In"       ? Operator::kIn
                                 : op == "NotIn"  ? Operator::kNotIn
                                 : op == "Exists" ? Operator::kExists
                                                  : Operator::kAbsent,
                                 expression.value("values", std::vector<std::string>())});
  }
  return selectors;
}

bool Selectors::Matches(const Json& object) const {
  const Json labels = object.value(Json::json_pointer("/metadata/labels"), Json::object());
  const auto holds = [&labels](const LabelRule& rule) {
    const auto at = labels.find(rule.key);
    const bool there = at != labels.end();
    const bool listed = there && std::ranges::count(rule.values, at->get<std::string>()) > 0;
    switch (rule.op) {
      case Operator::kIn:
        return listed;
      case Operator::kNotIn:
        return !listed;
      case Operator::kExists:
        return there;
      case Operator::kAbsent:
        return !there;
    }
    return false;
  };
  return std::ranges::all_of(labels_, holds) &&
         std::ranges::all_of(fields_, [&object](const FieldRule& rule) {
           return (object.value(rule.path, std::string()) == rule.value) == rule.equal;
         });
}

}  // namespace muster::kubetest
