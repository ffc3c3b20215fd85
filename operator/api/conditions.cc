// Keeps one condition per type.
#include "operator/api/conditions.h"

#include <utility>

namespace muster::api {

bool SetCondition(std::vector<Condition>& conditions, Condition wanted) {
  for (Condition& present : conditions) {
    if (present.type != wanted.type) continue;
    if (present.status == wanted.status) wanted.last_transition_time = present.last_transition_time;
    if (present == wanted) return false;
    present = std::move(wanted);
    return true;
  }
  conditions.push_back(std::move(wanted));
  return true;
}

const Condition* FindCondition(const std::vector<Condition>& conditions, std::string_view type) {
  for (const Condition& condition : conditions) {
    if (condition.type == type) return &condition;
  }
  return nullptr;
}

bool IsTrue(const std::vector<Condition>& conditions, std::string_view type) {
  const Condition* found = FindCondition(conditions, type);
  return found != nullptr && found->status == "True";
}

}  // namespace muster::api
