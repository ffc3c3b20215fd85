// Simulated parents of pods with several processes: each has a stream of its own, hears on it whom of its pod
// is evicted, kills that one and says so, now and then too late to be waited for.
#pragma once

#include <cstdint>
#include <map>

#include "operator/base/ids.h"
#include "operator/membership/machine.h"
#include "tests/sim/world.h"

namespace muster::sim {

class Cluster;
class Coordinator;

class Parents {
 public:
  explicit Parents(Cluster& cluster) : cluster_(cluster) {}

  void Begin(base::MemberId pod);
  void End(base::MemberId pod);  // with its pod
  static bool Owns(membership::StreamId stream) { return stream >= kFirstStream; }
  void Heard(const membership::Send& send);
  void Closed(membership::StreamId stream);  // by its coordinator
  void CloseAllOf(Coordinator& coordinator);

 private:
  // Members' streams are numbered from 0.
  static constexpr membership::StreamId kFirstStream = membership::StreamId{1} << 40;
  struct Parent {
    Coordinator* coordinator = nullptr;  // none: it has no stream
    membership::StreamId stream = 0;
  };
  Parent* Find(membership::StreamId stream);
  void Dial(base::MemberId pod);
  void Say(membership::StreamId stream, api::MemberMessage message);
  void Kill(membership::StreamId stream, base::MemberId member);

  Cluster& cluster_;
  std::map<base::MemberId, Parent> parents_;  // by pod
  membership::StreamId next_ = kFirstStream;
};

}  // namespace muster::sim
