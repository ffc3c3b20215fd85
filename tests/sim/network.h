// Simulated streams between members and coordinators: in order within a stream, reordered between
// streams, lost with what is in flight, held up without a word, refused for a while.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "operator/api/messages.h"
#include "tests/sim/world.h"

namespace muster::sim {

class Worker;
class Coordinator;

class Network {
 public:
  explicit Network(World& world) : world_(world) {}

  // A coordinator that listens; members prefer the newest but may find an older one (M11).
  void Listen(Coordinator& coordinator) { listening_.push_back(&coordinator); }
  void Dial(Worker& worker);
  void ToCoordinator(Worker& worker, const api::FromMember& message);
  void ToMember(Coordinator& coordinator, std::uint64_t stream,
                const api::FromCoordinator& message);
  // Either end closes, or the path breaks.
  void Close(std::uint64_t stream);
  // No message passes for a while, in neither direction, and nobody is told.
  void HoldUp(Worker& worker, base::Duration time);
  void CloseAllOf(Coordinator& coordinator);
  bool Connected(const Worker& worker) const;
  base::MemberId MemberOf(std::uint64_t stream) const;

 private:
  struct Stream {
    Coordinator* coordinator = nullptr;
    Worker* worker = nullptr;
    bool open = false;
    base::Time up;  // when the last message to the coordinator arrives
    base::Time down;
    base::Time held_until;
  };
  base::Duration Transit(Stream& stream, base::Time& last);

  World& world_;
  std::vector<Coordinator*> listening_;
  std::vector<Stream> streams_;  // the id is the index
};

}  // namespace muster::sim
