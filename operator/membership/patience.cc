#include "operator/membership/patience.h"

#include <algorithm>

namespace muster::membership {
namespace {

// The first attempt after a break follows at once: a death that is not known yet is the usual cause.
// Then a link that flaps gets its time: 15 s together before the job fails.
base::Duration PauseAfter(std::int32_t breaks) {
  if (breaks <= 1) return base::Duration(0);
  return std::chrono::seconds(1 << std::min(breaks - 2, 5));
}

}  // namespace

base::Time JoinDue(const JoinTiming& timing) {
  base::Time due = timing.first_warm;
  if (!timing.complete) due += timing.batch;
  if (timing.last && !timing.makes_good) due = std::max(due, *timing.last + timing.interval);
  return due;
}

BreakDecision DecideOnBreak(std::int32_t in_row, std::int32_t by_the_same, bool can_spare) {
  if (in_row >= kBreaksToFail) return {BreakAnswer::kFail, base::Duration(0)};
  const bool evict = by_the_same >= kBreaksToEvict && can_spare;
  return {evict ? BreakAnswer::kEvict : BreakAnswer::kTryAgain, PauseAfter(in_row)};
}

}  // namespace muster::membership
