// Slots: what the sum holds, and when it is complete.
#include "worker/session/state.h"

namespace muster::session {

void Session::State::OnSlotBegun(const SlotBegun& event) {
  if (event.tag != sums.tag) return;
  sums.in_progress.insert(event.slot);
}

void Session::State::OnSlotDone(const SlotDone& event) {
  if (event.tag != sums.tag) return;
  sums.in_progress.erase(event.slot);
  sums.held.insert(event.slot);
  if (welcome && welcome->audit) sums.samples[event.slot] = event.samples;
  if (effort.step != event.tag.step) effort = Effort{.step = event.tag.step};
  ++effort.slots_computed;
  effort.compute_seconds += event.seconds;
  if (handed_over.contains(event.slot)) effort.recompute_seconds += event.seconds;
}

void Session::State::OnComputeStopped() { computing = stopping = false; }

void Session::State::Clear(const api::SumTag& tag) {
  sums = Sums{};
  sums.tag = tag;
  out.push_back(ClearSums{tag});
}

void Session::State::Compute(const std::vector<api::Slot>& slots, base::Epoch ahead_in) {
  if (slots.empty()) return;
  computing = true;
  out.push_back(ComputeSlots{sums.tag, slots, ahead_in});
}

// Every slot of this member is in the sum and no order is on its way to add another.
bool Session::State::SumComplete() const {
  return planned && !computing && sums.held.size() == assigned.size();
}

}  // namespace muster::session
