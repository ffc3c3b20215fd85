// What a PodDisruptionBudget counts. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/kube/kinds.h"

namespace muster::kubetest {

struct BudgetState {
  std::int64_t expected = 0;  // pods that it selects and that have not ended
  std::int64_t healthy = 0;   // of these, Ready and not being deleted
  std::int64_t desired = 0;   // healthy ones that it wants
};

// `pods` are of the budget's namespace.
BudgetState StateOf(const Json& budget, const std::vector<Json>& pods);

}  // namespace muster::kubetest
