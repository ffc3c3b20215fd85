// Start: the reign begins by persisting its term (M1); nobody is spoken to before.
#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnStart() {
  if (phase != Phase::kNew) return;
  phase = Phase::kTaking;
  term = term.Next();
  want_term = true;
}

}  // namespace muster::membership
