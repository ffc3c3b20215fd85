// StreamClosed: evidence that stands alone until a neighbour or the cluster adds to it (M3).
#include "operator/membership/state.h"

namespace muster::membership {

void Core::OnStreamClosed(const StreamClosed& closed) {
  std::erase_if(deferred, [&](const Received& r) { return r.stream == closed.stream; });
  std::erase_if(parents, [&](const auto& parent) { return parent.second == closed.stream; });
  const auto bound = streams.find(closed.stream);
  if (bound == streams.end()) {
    for (auto& [id, m] : members) {
      if (m.stream == closed.stream) m.stream.reset();
    }
    return;
  }
  Member& m = members.at(bound->second);
  streams.erase(bound);
  if (m.stream != closed.stream) return;
  m.stream.reset();
  m.signs.stream_lost = now;
}

}  // namespace muster::membership
