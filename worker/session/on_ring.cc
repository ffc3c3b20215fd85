// The ring: ready, failed to connect (M7), or broken under way (M3).
#include "worker/session/state.h"

namespace muster::session {

void Session::State::OnRingReady(const RingReady& event) {
  if (!view || event.epoch != view->epoch || interrupted || ring != Ring::kConnecting) return;
  ring = Ring::kReady;
  rebuild_seconds = event.seconds;
}

void Session::State::OnRingFailed(const RingFailed& event) {
  if (!view || event.epoch != view->epoch || interrupted || ring != Ring::kConnecting) return;
  RingLost(event.unreachable);
  CannotReach(event.unreachable, event.detail);
}

void Session::State::OnPeerReset(const PeerReset& event) {
  if (!InView() || event.epoch != view->epoch || ring == Ring::kNone) return;
  RingLost({event.peer});
  suspect_report = api::Suspect{event.epoch, event.peer, api::Evidence::kReset, event.detail};
  Tell(*suspect_report);
}

void Session::State::RingLost(std::vector<base::MemberId> peers) {
  ring = Ring::kLost;
  ring_lost_since = now;
  ring_lost_peers = std::move(peers);
}

void Session::State::CannotReach(std::vector<base::MemberId> peers, std::string detail) {
  cannot_report = api::CannotReach{view->epoch, std::move(peers), std::move(detail)};
  Tell(*cannot_report);
}

void Session::State::CloseRing() {
  if (ring != Ring::kNone) out.push_back(AbortRing{view->epoch});
  ring = Ring::kNone;
  ring_lost_since.reset();
  if (collective != Collective::kNone) collective_void = true;
}

}  // namespace muster::session
