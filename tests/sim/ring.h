// Simulated rings, one per epoch: a collective completes only when every member of the view has
// called it, and when it is aborted some members may have the result and others not.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "operator/api/view.h"
#include "tests/sim/numbers.h"
#include "tests/sim/world.h"
#include "worker/session/session.h"

namespace muster::sim {

class Worker;

enum class CollectiveKind { kReduce, kEvaluate };

// What a member brings.
struct Contribution {
  CollectiveKind kind = CollectiveKind::kReduce;
  session::Reduce reduce;
  base::Step evaluated;
  Sum sum;
};

class Rings {
 public:
  Rings(World& world, const Numbers& numbers) : world_(world), numbers_(numbers) {}

  void Connect(Worker& worker, const api::View& view, std::int32_t rank);
  void Call(Worker& worker, base::Epoch epoch, Contribution contribution);
  void Abort(Worker& worker, base::Epoch epoch);
  // The process is gone: its neighbours' connections are reset.
  void Died(Worker& worker);
  // The linear checksum of the next reduction does not agree, at everybody or at one member (E8).
  void CorruptNext() { corrupt_ = true; }
  // The next so many collectives end with an error that names nobody, though nobody has died.
  void BreakNext(std::int32_t times) { breaks_ = times; }

 private:
  struct Seat {
    base::MemberId id;
    Worker* worker = nullptr;  // set when it connects
    bool joined = false;
    bool ready = false;
    bool gone = false;  // aborted or dead
    std::optional<Contribution> offer;
    bool has_result = false;  // of the last collective: the abort of such a one harms nobody
  };
  struct Ring {
    base::Epoch epoch;
    std::vector<Seat> seats;
    bool broken = false;
  };
  Ring* Find(base::Epoch epoch);
  void MaybeReady(Ring& ring);
  void Fail(base::Epoch epoch, std::size_t rank);
  void MaybeComplete(Ring& ring);
  void Deliver(base::Epoch epoch, std::size_t rank, const Contribution& mine, const Sum& whole,
               const session::Reduced& outcome);
  void Break(Ring& ring, std::size_t by);
  session::Reduced Outcome(const Ring& ring, const std::vector<Contribution>& parts,
                           const Sum& whole) const;

  World& world_;
  const Numbers& numbers_;
  std::map<base::Epoch, Ring> rings_;
  bool corrupt_ = false;
  std::int32_t breaks_ = 0;
};

}  // namespace muster::sim
