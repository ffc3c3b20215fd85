// Suspect: a member's evidence against a peer (M3). It breaks the ring for all, so a round begins;
// whether the peer is evicted depends on what else is known about it.
#include "operator/membership/state.h"

namespace muster::membership {
namespace {

const char* Text(api::Evidence evidence) {
  switch (evidence) {
    case api::Evidence::kReset:
      return "reset";
    case api::Evidence::kTimeout:
      return "timeout";
    case api::Evidence::kChecksum:
      return "checksum";
  }
  return "unknown evidence";
}

}  // namespace

void Core::OnMessage(Member& m, const api::Suspect& suspect) {
  const api::View* view = NewestView();
  const bool current =
      view != nullptr && (suspect.epoch == view->epoch || (force && suspect.epoch == force->epoch));
  // M4: an aborting member resets its neighbours; after its Ready nothing it saw is evidence.
  if (!current || m.ready || !InRecord(m.id)) return;
  NoteThat(base::ToString(m.id) + " suspects " + base::ToString(suspect.peer) + ": " +
           Text(suspect.evidence) + " " + suspect.detail);
  Member* peer = Find(suspect.peer);
  if (suspect.evidence == api::Evidence::kReset && peer != nullptr && !peer->dead && !peer->ready) {
    peer->signs.neighbour_reset = now;
  }
  JudgeMembers();  // with what else is known it may be a conviction, which says more in its
                   // Interrupt
  if (phase != Phase::kSettled && phase != Phase::kAnnounced) return;
  if (suspect.evidence == api::Evidence::kChecksum) {
    // E8: a kept sum or the wire is wrong and nobody knows whose; all slots are computed again.
    void_kept = true;
    if (++checksum_rounds >= 3) {
      Fail("Invariant", "the linear checksum of a step's sums failed three times in a row");
      return;
    }
    BeginRound("ChecksumMismatch", now);
    return;
  }
  if (suspect.evidence == api::Evidence::kTimeout && suspect.peer == m.id) {
    return OnBreak(m, suspect.detail);
  }
  BeginRound("StreamLost", now);
}

}  // namespace muster::membership
