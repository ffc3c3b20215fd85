// See network.h.
#include "tests/sim/network.h"

#include <algorithm>

#include "tests/sim/coordinator.h"
#include "tests/sim/worker.h"

namespace muster::sim {

void Network::Dial(Worker& worker) {
  std::vector<Coordinator*> alive;
  for (Coordinator* c : listening_) {
    if (c->alive() && !c->stopped()) alive.push_back(c);
  }
  if (alive.empty() || world_.now() < worker.cut_off_until()) return;
  Coordinator* choice = world_.Chance(0.8) ? alive.back() : alive[world_.Below(alive.size())];
  Stream stream;
  stream.coordinator = choice;
  stream.worker = &worker;
  stream.open = true;
  streams_.push_back(stream);
  worker.Opened(streams_.size() - 1);
}

base::Duration Network::Transit(Stream& stream, base::Time& last) {
  base::Time at = world_.now() + world_.Micros(50, world_.Chance(0.05) ? 20000 : 800);
  at = std::max({at, last, stream.held_until});
  last = at;
  return at - world_.now();
}

void Network::ToCoordinator(Worker& worker, const api::FromMember& message) {
  const std::uint64_t id = worker.stream();
  Stream& stream = streams_[id];
  if (!stream.open) return;
  world_.After(Transit(stream, stream.up), [this, id, message] {
    Stream& s = streams_[id];
    if (s.open && s.coordinator->alive()) s.coordinator->Post(membership::Received{id, message});
  });
}

void Network::ToMember(Coordinator& coordinator, std::uint64_t id,
                       const api::FromCoordinator& message) {
  if (id >= streams_.size() || streams_[id].coordinator != &coordinator) {
    world_.Violation("a coordinator wrote to a stream that is not its own");
    return;
  }
  Stream& stream = streams_[id];
  if (!stream.open) return;
  world_.After(Transit(stream, stream.down), [this, id, message] {
    Stream& s = streams_[id];
    if (s.open && s.worker->alive()) s.worker->Heard(id, message);
  });
}

base::MemberId Network::MemberOf(std::uint64_t id) const { return streams_[id].worker->id(); }

void Network::Close(std::uint64_t id) {
  Stream& stream = streams_[id];
  if (!stream.open) return;
  // What is in flight arrives or is lost; then both ends are told, each in its own time.
  const base::Duration linger = world_.Chance(0.5) ? base::Duration(0) : world_.Micros(50, 2000);
  world_.After(linger, [this, id] {
    Stream& s = streams_[id];
    if (!s.open) return;
    s.open = false;
    world_.AfterMicros(50, 5000, [this, id] { streams_[id].worker->Closed(id); });
    world_.AfterMicros(50, 5000, [this, id] {
      if (streams_[id].coordinator->alive())
        streams_[id].coordinator->Post(membership::StreamClosed{id});
    });
  });
}

void Network::CloseAllOf(Coordinator& coordinator) {
  for (std::uint64_t id = 0; id < streams_.size(); ++id) {
    if (streams_[id].coordinator == &coordinator) Close(id);
  }
}

void Network::HoldUp(Worker& worker, base::Duration time) {
  for (Stream& s : streams_) {
    if (s.worker == &worker && s.open) s.held_until = world_.now() + time;
  }
}

bool Network::Connected(const Worker& worker) const {
  return std::any_of(streams_.begin(), streams_.end(), [&](const Stream& s) {
    return s.worker == &worker && s.open && s.coordinator->alive() && !s.coordinator->stopped() &&
           s.held_until <= world_.now();
  });
}

}  // namespace muster::sim
