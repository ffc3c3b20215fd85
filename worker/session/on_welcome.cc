// Joining: the welcome is loaded once, then the member waits in the waiting room (M9). And beats:
// when the newest acknowledged one was sent is how fresh the contact with the coordinator is.
#include "worker/session/state.h"

namespace muster::session {

namespace {
// Beats in flight worth remembering: at 200 ms a beat, more than any heartbeat timeout in use.
constexpr std::size_t kBeatsKept = 256;
}  // namespace

void Session::State::OnWelcome(const api::Welcome& message) {
  if (welcome) return;  // a reconnection
  welcome = message;
  out.push_back(LoadJob{message});
}

void Session::State::OnLoaded(const Loaded& event) {
  if (loaded) return;
  loaded = event;
  Tell(event.warm);
}

void Session::State::OnBeatSent(std::uint64_t sequence) {
  beats.push_back({sequence, now});
  if (beats.size() > kBeatsKept) beats.pop_front();
}

void Session::State::OnBeatAck(const api::BeatAck& message) {
  while (!beats.empty() && beats.front().sequence <= message.sequence) {
    if (beats.front().sequence == message.sequence) contact = beats.front().sent;
    beats.pop_front();
  }
  FlushGuarded();
}

}  // namespace muster::session
