#include "tests/crash/ring_table.h"

#include <algorithm>

namespace muster::crash {

RingTable::Seat* RingTable::Find(base::Epoch epoch, base::MemberId member) {
  const auto ring = rings_.find(epoch);
  if (ring == rings_.end()) return nullptr;
  const auto seat = std::ranges::find(ring->second.seats, member, &Seat::member);
  return seat == ring->second.seats.end() ? nullptr : &*seat;
}

void RingTable::Connect(base::MemberId member, const api::View& view) {
  Ring& ring = rings_[view.epoch];
  if (ring.seats.empty()) {
    for (const api::ViewMember& m : view.members) ring.seats.emplace_back().member = m.id;
  }
  Seat& own = *Find(view.epoch, member);
  if (own.gone) return;
  own.joined = true;
  const bool whole =
      std::ranges::all_of(ring.seats, [](const Seat& seat) { return seat.joined && !seat.gone; });
  if (!whole) return;
  for (Seat& seat : ring.seats) {
    seat.ready = true;
    post_(seat.member, session::RingReady{view.epoch, 0.001});
  }
}

void RingTable::GiveUp(base::MemberId member, base::Epoch epoch) {
  Seat* own = Find(epoch, member);
  if (own == nullptr || own->gone || own->ready) return;
  session::RingFailed failed;
  failed.epoch = epoch;
  failed.detail = "no answer";
  for (const Seat& seat : rings_[epoch].seats) {
    if (!seat.joined || seat.gone) failed.unreachable.push_back(seat.member);
  }
  own->gone = true;
  post_(member, failed);
}

void RingTable::Reduce(base::MemberId member, const session::Reduce& reduce, const sim::Sum& sum) {
  Ring& ring = rings_[reduce.epoch];
  Seat* own = Find(reduce.epoch, member);
  const bool incomplete = std::ranges::any_of(ring.seats, &Seat::gone);
  if (own == nullptr || ring.broken || incomplete) {
    return post_(member, session::ReduceAborted{reduce.epoch});
  }
  own->call = reduce;
  own->sum = sum;
  own->has_result = false;
  if (std::ranges::all_of(ring.seats, [](const Seat& s) { return s.call.has_value(); })) {
    Complete(reduce.epoch, ring);
  }
}

void RingTable::Complete(base::Epoch epoch, Ring& ring) {
  const session::Reduce first = *ring.seats.front().call;
  sim::Sum whole;
  whole.Clear(first.tag, static_cast<std::int32_t>(ring.seats.front().sum.counters.size()));
  session::Reduced out;
  out.epoch = epoch;
  out.tag = first.tag;
  out.view_held_by_all = first.pending_view != base::Epoch();
  out.checkpoint_held_by_all = first.checkpoint_request;
  out.stop_held_by_all = first.stop_request;
  for (const Seat& seat : ring.seats) {
    sim::AddSum(seat.sum, whole);
    if (seat.call->pending_view != first.pending_view) out.view_held_by_all = false;
    if (seat.call->checkpoint_request != first.checkpoint_request) out.checkpoint_held_by_all = 0;
    if (!seat.call->stop_request) out.stop_held_by_all = false;
  }
  if (out.checkpoint_held_by_all == 0) out.stop_held_by_all = false;
  // Each slot once, and all of one attempt at one step (E9).
  out.counters_ok =
      std::ranges::all_of(whole.counters, [](std::int32_t c) { return c == 1; }) &&
      std::ranges::all_of(ring.seats, [&](const Seat& s) { return s.call->tag == first.tag; });
  for (Seat& seat : ring.seats) {
    seat.call.reset();
    seat.has_result = true;
    confirm_(seat.member, out, whole);
  }
}

void RingTable::Break(base::Epoch epoch, Ring& ring, Seat& breaker) {
  breaker.gone = true;
  if (!breaker.has_result) ring.broken = true;
  for (Seat& seat : ring.seats) {
    if (!seat.call) continue;
    seat.call.reset();
    post_(seat.member, session::ReduceAborted{epoch});
  }
}

void RingTable::Abort(base::MemberId member, base::Epoch epoch) {
  Seat* own = Find(epoch, member);
  if (own != nullptr && !own->gone) Break(epoch, rings_[epoch], *own);
}

void RingTable::Died(base::MemberId member) {
  for (auto& [epoch, ring] : rings_) {
    const auto own = std::ranges::find(ring.seats, member, &Seat::member);
    if (own == ring.seats.end() || own->gone) continue;
    Break(epoch, ring, *own);
    const std::size_t n = ring.seats.size();
    const auto at = static_cast<std::size_t>(own - ring.seats.begin());
    for (const std::size_t next : {(at + 1) % n, (at + n - 1) % n}) {
      const Seat& seat = ring.seats[next];
      if (next == at || !seat.ready || seat.gone) continue;
      post_(seat.member, session::PeerReset{epoch, member, "connection reset"});
    }
  }
}

}  // namespace muster::crash
