// A reduction that broke without a death (M7): NCCL said so to one member, and names nobody.
#include "operator/membership/patience.h"
#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnBreak(Member& m, const std::string& detail) {
  ++breaks.in_row;
  breaks.by_the_same = breaks.reporter == m.id ? breaks.by_the_same + 1 : 1;
  breaks.reporter = m.id;
  const BreakDecision decision =
      DecideOnBreak(breaks.in_row, breaks.by_the_same, !HoldsStateAlone(m));
  const std::string count = std::to_string(breaks.in_row);
  if (decision.answer == BreakAnswer::kFail) {
    Fail("NcclBroken", "the reduction broke " + count +
                           " times without a step in between, and nobody had died; the last time " +
                           base::ToString(m.id) + " was told: " + detail +
                           "; spec.training.transport: ring does without NCCL");
    return;
  }
  breaks.pause_until = now + decision.pause;
  if (decision.pause > base::Duration(0)) {
    NoteThat("the reduction broke " + count +
             " times without a step in between; the next view follows after " +
             std::to_string(decision.pause / std::chrono::seconds(1)) + " s");
  }
  if (decision.answer == BreakAnswer::kEvict) {
    breaks.by_the_same = 0;
    return Evict(m, "NcclBroken",
                 "it was the first to see the reduction break " + std::to_string(kBreaksToEvict) +
                     " times in a row, the last time with: " + detail,
                 now);
  }
  BeginRound("NcclBroken", now);
}

}  // namespace muster::membership
