#include "tests/kube/faults.h"

#include <utility>

namespace muster::kubetest {
namespace {

bool Agrees(const std::string& wanted, const std::string& is) {
  return wanted.empty() || wanted == is;
}

}  // namespace

int Faults::Add(FaultRule rule) {
  rules_.push_back({std::move(rule)});
  return static_cast<int>(rules_.size()) - 1;
}

void Faults::Clear() {
  for (Rule& rule : rules_) rule.off = true;
}

const FaultAction* Faults::Next(const Occasion& occasion) {
  const FaultAction* action = nullptr;
  for (auto& [rule, seen, acted, off] : rules_) {
    if (off) continue;
    const bool verb = rule.verb.empty() ? occasion.verb != "event" : rule.verb == occasion.verb;
    if (!verb || !Agrees(rule.resource, occasion.resource) || !Agrees(rule.name, occasion.name) ||
        !Agrees(rule.subresource, occasion.subresource) || !Agrees(rule.event, occasion.event)) {
      continue;
    }
    ++seen;
    if (action != nullptr || seen < rule.nth) continue;
    if (rule.times != 0 && acted >= rule.times) continue;
    ++acted;
    action = &rule.action;
  }
  return action;
}

}  // namespace muster::kubetest
