// Label and field selectors, as a list or a watch gives them. Values only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/base/status.h"
#include "tests/kube/kinds.h"

namespace muster::kubetest {

class Selectors final {
 public:
  // InvalidArgument says what cannot be read, as a real API server's 400 does. Labels: `a=b`,
  // `a==b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`. Fields: metadata.name,
  // metadata.namespace, and for pods spec.nodeName and status.phase.
  static absl::StatusOr<Selectors> Parse(const Kind& kind, std::string_view labels,
                                         std::string_view fields);
  // Of a metav1.LabelSelector (matchLabels, matchExpressions), which budgets and policies have.
  static Selectors FromObject(const Json& selector);

  bool Matches(const Json& object) const;
  bool empty() const { return labels_.empty() && fields_.empty(); }

 private:
  enum class Operator { kIn, kNotIn, kExists, kAbsent };
  struct LabelRule {
    std::string key;
    Operator op = Operator::kExists;
    std::vector<std::string> values;
  };
  struct FieldRule {
    Json::json_pointer path;
    std::string value;
    bool equal = true;
  };
  static absl::StatusOr<LabelRule> ParseLabelRule(std::string_view text);

  std::vector<LabelRule> labels_;
  std::vector<FieldRule> fields_;
};

}  // namespace muster::kubetest
