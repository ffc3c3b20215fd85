#include "operator/app/time_ledger.h"

#include <algorithm>
#include <utility>

namespace muster::app {

void TimeLedger::Enter(std::string state, base::WallTime now) {
  if (state.empty()) state = "unknown";
  if (state == sums_.state) return;
  Close(now);
  sums_.state = std::move(state);
  sums_.since = now;
}

void TimeLedger::Close(base::WallTime now) {
  if (sums_.state.empty()) return;
  sums_.closed = Totals(now);
  sums_.state.clear();
  sums_.since = now;
}

std::map<std::string, double> TimeLedger::Totals(base::WallTime now) const {
  std::map<std::string, double> totals = sums_.closed;
  if (!sums_.state.empty()) {
    // A wall clock that was set back must not take away what was counted.
    totals[sums_.state] += std::max(0.0, base::ToSeconds(now - sums_.since));
  }
  return totals;
}

}  // namespace muster::app
