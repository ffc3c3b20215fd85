// See ring.h.
#include "tests/sim/ring.h"

#include <algorithm>
#include <utility>

#include "tests/sim/worker.h"

namespace muster::sim {

Rings::Ring* Rings::Find(base::Epoch epoch) {
  auto it = rings_.find(epoch);
  return it == rings_.end() ? nullptr : &it->second;
}

void Rings::Connect(Worker& worker, const api::View& view, std::int32_t rank) {
  Ring& ring = rings_[view.epoch];
  if (ring.seats.empty()) {
    ring.epoch = view.epoch;
    for (const api::ViewMember& m : view.members) {
      Seat seat;
      seat.id = m.id;
      ring.seats.push_back(seat);
    }
  }
  const auto r = static_cast<std::size_t>(rank);
  ring.seats[r].worker = &worker;
  const base::Epoch epoch = view.epoch;
  worker.Later(world_.Micros(300, 5000), [this, epoch, r] {
    Ring& joined = *Find(epoch);
    if (joined.seats[r].gone) return;
    joined.seats[r].joined = true;
    MaybeReady(joined);
  });
  worker.Later(std::chrono::seconds(4), [this, epoch, r] { Fail(epoch, r); });
}

// M7: a deadline on connecting; who did not come is named.
void Rings::Fail(base::Epoch epoch, std::size_t rank) {
  Ring& ring = *Find(epoch);
  Seat& seat = ring.seats[rank];
  if (seat.gone || seat.ready) return;
  session::RingFailed failed;
  failed.epoch = epoch;
  failed.detail = "no answer";
  for (const Seat& other : ring.seats) {
    if (!other.joined || other.gone) failed.unreachable.push_back(other.id);
  }
  seat.gone = true;
  seat.worker->Post(failed);
}

void Rings::MaybeReady(Ring& ring) {
  for (const Seat& seat : ring.seats) {
    if (!seat.joined || seat.gone) return;
  }
  const base::Epoch epoch = ring.epoch;
  for (std::size_t r = 0; r < ring.seats.size(); ++r) {
    ring.seats[r].worker->Later(world_.Micros(200, 4000), [this, epoch, r] {
      Ring& found = *Find(epoch);
      Seat& seat = found.seats[r];
      if (seat.gone || seat.ready) return;
      seat.ready = true;
      seat.worker->Post(session::RingReady{epoch, 0.01});
    });
  }
}

void Rings::Call(Worker& worker, base::Epoch epoch, Contribution contribution) {
  Ring* ring = Find(epoch);
  const auto seat = ring == nullptr
                        ? std::vector<Seat>::iterator()
                        : std::find_if(ring->seats.begin(), ring->seats.end(),
                                       [&](const Seat& s) { return s.worker == &worker; });
  if (ring == nullptr || seat == ring->seats.end()) {
    world_.Violation(worker.name() + " reduces in a ring that it is not in");
    return;
  }
  const bool incomplete =
      std::any_of(ring->seats.begin(), ring->seats.end(), [](const Seat& s) { return s.gone; });
  if (ring->broken || incomplete) {
    worker.Post(session::ReduceAborted{epoch});
    return;
  }
  if (breaks_ > 0) {
    --breaks_;
    Break(*ring, static_cast<std::size_t>(seat - ring->seats.begin()));
    ring->broken = true;
    worker.Post(session::ReduceAborted{epoch, "remote error"});
    return;
  }
  seat->offer = std::move(contribution);
  seat->has_result = false;
  MaybeComplete(*ring);
}

session::Reduced Rings::Outcome(const Ring& ring, const std::vector<Contribution>& parts,
                                const Sum& whole) const {
  const session::Reduce& first = parts.front().reduce;
  session::Reduced out;
  out.epoch = ring.epoch;
  out.tag = first.tag;
  out.counters_ok = std::all_of(whole.counters.begin(), whole.counters.end(),
                                [](std::int32_t c) { return c == 1; });
  out.view_held_by_all = first.pending_view != base::Epoch();
  out.checkpoint_held_by_all = first.checkpoint_request;
  out.stop_held_by_all = first.checkpoint_request != 0 && first.stop_request;
  for (const Contribution& part : parts) {
    if (part.reduce.pending_view != first.pending_view) out.view_held_by_all = false;
    if (part.reduce.checkpoint_request != first.checkpoint_request) out.checkpoint_held_by_all = 0;
    if (!part.reduce.stop_request) out.stop_held_by_all = false;
  }
  if (out.checkpoint_held_by_all == 0) out.stop_held_by_all = false;
  out.saturated = Saturates(numbers_, out.tag);
  if (out.saturated) out.next_exponents = RedoExponents(whole);
  out.seconds = 0.002;
  return out;
}

void Rings::MaybeComplete(Ring& ring) {
  std::vector<Contribution> parts;
  for (const Seat& seat : ring.seats) {
    if (!seat.offer || seat.gone) return;
    parts.push_back(*seat.offer);
  }
  Contribution whole = parts.front();
  whole.sum.Clear(whole.reduce.tag, numbers_.slots);
  for (const Contribution& part : parts) {
    const bool same = part.kind == whole.kind && part.reduce.tag == whole.reduce.tag &&
                      part.evaluated == whole.evaluated;
    if (!same) {
      world_.Violation("members of epoch " + std::to_string(ring.epoch.value) +
                       " called different collectives: step " +
                       std::to_string(part.reduce.tag.step.value) + "/" +
                       std::to_string(whole.reduce.tag.step.value));
    }
    if (part.kind == CollectiveKind::kReduce) AddSum(part.sum, whole.sum);
  }
  session::Reduced outcome;
  if (whole.kind == CollectiveKind::kReduce) {
    outcome = Outcome(ring, parts, whole.sum);
    if (!outcome.counters_ok) {
      world_.Violation("a slot of step " + std::to_string(whole.reduce.tag.step.value) +
                       " in epoch " + std::to_string(ring.epoch.value) +
                       " is not in the sum exactly once (E9)");
    }
  }
  const bool corrupt = whole.kind == CollectiveKind::kReduce && std::exchange(corrupt_, false);
  const bool at_all = corrupt && world_.Chance(0.5);
  const std::size_t at = corrupt ? world_.Below(ring.seats.size()) : 0;
  for (std::size_t r = 0; r < ring.seats.size(); ++r) {
    outcome.checksum_ok = !corrupt || (!at_all && r != at);
    Contribution mine = std::move(*ring.seats[r].offer);
    ring.seats[r].offer.reset();
    const base::Epoch epoch = ring.epoch;
    ring.seats[r].worker->Later(world_.Micros(100, 3000), [this, epoch, r, mine, whole, outcome] {
      Deliver(epoch, r, mine, whole.sum, outcome);
    });
  }
}

// The result arrives, or the abort overtook it: both happen.
void Rings::Deliver(base::Epoch epoch, std::size_t rank, const Contribution& mine, const Sum& whole,
                    const session::Reduced& outcome) {
  Ring& ring = *Find(epoch);
  Seat& seat = ring.seats[rank];
  if ((ring.broken || seat.gone) && world_.Chance(0.5)) {
    seat.worker->Post(session::ReduceAborted{epoch});
    return;
  }
  seat.has_result = true;
  if (mine.kind == CollectiveKind::kEvaluate) {
    seat.worker->Post(session::Evaluated{mine.evaluated, 2.5, epoch});
    return;
  }
  seat.worker->Result(outcome, whole);
}

void Rings::Break(Ring& ring, std::size_t by) {
  Seat& breaker = ring.seats[by];
  const bool harmless = breaker.has_result;
  breaker.gone = true;
  const base::Epoch epoch = ring.epoch;
  for (std::size_t r = 0; r < ring.seats.size(); ++r) {
    Seat& seat = ring.seats[r];
    if (!seat.offer || seat.worker == nullptr) continue;
    // Its collective cannot complete any more.
    seat.offer.reset();
    seat.worker->Later(world_.Micros(50, 3000), [worker = seat.worker, epoch] {
      worker->Post(session::ReduceAborted{epoch});
    });
  }
  if (!harmless) ring.broken = true;
}

void Rings::Abort(Worker& worker, base::Epoch epoch) {
  Ring* ring = Find(epoch);
  if (ring == nullptr) return;
  for (std::size_t r = 0; r < ring->seats.size(); ++r) {
    if (ring->seats[r].worker == &worker && !ring->seats[r].gone) Break(*ring, r);
  }
}

void Rings::Died(Worker& worker) {
  for (auto& [epoch, ring] : rings_) {
    for (std::size_t r = 0; r < ring.seats.size(); ++r) {
      if (ring.seats[r].worker != &worker || ring.seats[r].gone) continue;
      ring.seats[r].has_result = ring.seats[r].has_result && world_.Chance(0.5);
      Break(ring, r);
      const std::size_t n = ring.seats.size();
      for (std::size_t other : {(r + 1) % n, (r + n - 1) % n}) {
        Seat& seat = ring.seats[other];
        if (other == r || !seat.ready || seat.gone || world_.Chance(0.1)) continue;
        seat.worker->Later(world_.Micros(100, 5000),
                           [w = seat.worker, e = epoch, id = worker.id()] {
                             w->Post(session::PeerReset{e, id, "connection reset"});
                           });
      }
    }
  }
}

}  // namespace muster::sim
