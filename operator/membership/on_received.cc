// Received: only a Hello opens a stream; everything else belongs to the member that the stream is
// bound to.
#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnReceived(const Received& received) {
  if (const auto* hello = std::get_if<api::Hello>(&received.message.message)) {
    // M1: nobody is answered before the term is in the record.
    if (phase == Phase::kNew || phase == Phase::kTaking) {
      deferred.push_back(received);
    } else if (phase == Phase::kDeposed) {
      out.push_back(CloseStream{received.stream});
    } else {
      OnHello(received.stream, *hello);
    }
    return;
  }
  const auto bound = streams.find(received.stream);
  if (bound == streams.end()) {
    // What follows a Hello that waits for the term waits with it, in order.
    if (phase == Phase::kTaking) deferred.push_back(received);
    const auto* killed = std::get_if<api::Killed>(&received.message.message);
    if (killed != nullptr) OnKilled(received.stream, *killed);
    return;
  }
  Member& m = members.at(bound->second);
  if (m.stream != received.stream || m.dead || phase == Phase::kOver) return;
  m.signs.heard = now;
  std::visit(
      [&](const auto& message) {
        using M = std::decay_t<decltype(message)>;
        // The stream's own end answers a request for a certificate; it is a sign of life and no
        // more. Killed is a parent's to say.
        if constexpr (!std::is_same_v<M, api::Hello> &&
                      !std::is_same_v<M, api::CertificateRequest> &&
                      !std::is_same_v<M, api::Killed>) {
          OnMessage(m, message);
        }
      },
      received.message.message);
}

}  // namespace muster::membership
