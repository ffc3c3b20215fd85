// The rings of played workers, as a table: by epoch who has connected, and what they bring to the
// collective in hand. A reduction is whole when all members of the view have called it.
//
// Values and callbacks; one thread, that of Workers.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "operator/api/view.h"
#include "tests/sim/numbers.h"
#include "worker/session/session.h"

namespace muster::crash {

class RingTable final {
 public:
  // Hands a member's session what its communicator thread would.
  using Post = std::function<void(base::MemberId member, session::Event event)>;
  // The same for the result of a reduction, with the sum.
  using Confirm = std::function<void(base::MemberId member, const session::Reduced& outcome,
                                     const sim::Sum& whole)>;
  RingTable(Post post, Confirm confirm) : post_(std::move(post)), confirm_(std::move(confirm)) {}

  void Connect(base::MemberId member, const api::View& view);
  // Who has not connected is named, if the ring is not there yet (M7).
  void GiveUp(base::MemberId member, base::Epoch epoch);
  void Reduce(base::MemberId member, const session::Reduce& reduce, const sim::Sum& sum);
  void Abort(base::MemberId member, base::Epoch epoch);
  // Its process is gone: the connections to its neighbours are reset.
  void Died(base::MemberId member);

 private:
  struct Seat {
    base::MemberId member;
    bool joined = false;
    bool ready = false;
    bool gone = false;
    bool has_result = false;  // of the last reduction: that it goes harms nobody
    std::optional<session::Reduce> call;
    sim::Sum sum;
  };
  struct Ring {
    std::vector<Seat> seats;
    bool broken = false;
  };
  Seat* Find(base::Epoch epoch, base::MemberId member);
  void Break(base::Epoch epoch, Ring& ring, Seat& breaker);
  void Complete(base::Epoch epoch, Ring& ring);

  const Post post_;
  const Confirm confirm_;
  std::map<base::Epoch, Ring> rings_;
};

}  // namespace muster::crash
