// The rules of the custom resource definition that no type can say, in CEL: they mirror
// job_rules.cc, and say in addition what an update may change.
//
// Internal to operator/api. Values only. tests/crd shows that the verdicts agree.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/api/schema.h"

namespace muster::api {

struct CelRule {
  std::string at;  // path of the object whose schema holds it; "" is the whole object
  std::string rule;
  std::string message;
  std::string message_expression;  // the same with its numbers; empty: the message says all
  std::string field;               // whose path the error names, from `at` on; empty: `at` itself
  std::string reason;              // of the error; empty: FieldValueInvalid
};

// In the order of the document.
const std::vector<CelRule>& CelRules();

// What a duration may be: its spelling and its range, in one sentence.
CelRule DurationRule(const Field& field);

}  // namespace muster::api
