#include "tests/kube/budgets.h"

#include <charconv>

#include "tests/kube/selectors.h"
#include "tests/kube/verbs.h"

namespace muster::kubetest {
namespace {

// A count, or a percentage of `of`, which is rounded up.
std::int64_t Scaled(const Json& value, std::int64_t of) {
  if (value.is_number()) return value.get<std::int64_t>();
  std::int64_t percent = 0;
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  std::from_chars(text.data(), text.data() + text.size(), percent);
  return (percent * of + 99) / 100;
}

}  // namespace

BudgetState StateOf(const Json& budget, const std::vector<Json>& pods) {
  BudgetState state;
  const Json& spec = budget["spec"];
  const auto selectors = Selectors::FromObject(spec.value("selector", Json::object()));
  for (const Json& pod : pods) {
    const std::string phase = pod["status"].value("phase", "");
    if (phase == "Succeeded" || phase == "Failed" || !selectors.Matches(pod)) continue;
    ++state.expected;
    if (IsReady(pod) && !pod["metadata"].contains("deletionTimestamp")) ++state.healthy;
  }
  state.desired = spec.contains("maxUnavailable")
                      ? state.expected - Scaled(spec["maxUnavailable"], state.expected)
                      : Scaled(spec.value("minAvailable", Json(0)), state.expected);
  return state;
}

}  // namespace muster::kubetest
