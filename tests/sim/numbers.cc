// See numbers.h.
#include "tests/sim/numbers.h"

#include "operator/base/rng.h"

namespace muster::sim {

using base::Mix64;

void Sum::Clear(const api::SumTag& t, std::int32_t slots) {
  tag = t;
  words = {};
  counters.assign(static_cast<std::size_t>(slots), 0);
}

ModelState FreshState(const Numbers& numbers) {
  ModelState state;
  for (std::size_t i = 0; i < state.weights.size(); ++i) state.weights[i] = Mix64(numbers.seed + i);
  if (numbers.exact32) state.exponents = Mix64(numbers.seed ^ 77) | 1;
  return state;
}

std::uint64_t Digest(const ModelState& state) {
  std::uint64_t h = Mix64(static_cast<std::uint64_t>(state.step));
  for (std::uint64_t w : state.weights) h = Mix64(h ^ w);
  return Mix64(h ^ state.exponents) | 1;  // 0 means: no state
}

void AddSlot(const Numbers& numbers, const ModelState& state, api::Slot slot, Sum& sum) {
  const std::uint64_t key = Mix64(numbers.seed ^ Digest(state)) ^ Mix64(sum.tag.exponents + 3) ^
                            Mix64(static_cast<std::uint64_t>(slot) << 20);
  for (std::size_t i = 0; i < sum.words.size(); ++i) sum.words[i] += Mix64(key + i);
  ++sum.counters[static_cast<std::size_t>(slot)];
}

void AddSum(const Sum& part, Sum& whole) {
  for (std::size_t i = 0; i < whole.words.size(); ++i) whole.words[i] += part.words[i];
  for (std::size_t i = 0; i < whole.counters.size(); ++i) whole.counters[i] += part.counters[i];
}

bool Saturates(const Numbers& numbers, const api::SumTag& tag) {
  if (!numbers.exact32 || tag.attempt > 0) return false;
  // Every second step, so that faults land in redos too.
  return Mix64(numbers.seed ^ static_cast<std::uint64_t>(tag.step.value) * 31) % 2 == 0;
}

std::uint64_t RedoExponents(const Sum& sum) { return Mix64(sum.words[0] ^ 5) | 1; }

void Apply(const Numbers& numbers, const Sum& sum, ModelState& state) {
  ++state.step;
  for (std::size_t i = 0; i < state.weights.size(); ++i)
    state.weights[i] = Mix64(state.weights[i] ^ sum.words[i]);
  if (numbers.exact32) state.exponents = Mix64(sum.words[1] ^ sum.tag.exponents) | 1;
}

std::vector<std::uint64_t> FaultFree(const Numbers& numbers, std::int64_t steps) {
  ModelState state = FreshState(numbers);
  std::vector<std::uint64_t> digests{Digest(state)};
  for (std::int64_t step = 1; step <= steps; ++step) {
    Sum sum;
    sum.Clear({base::Step(step), 0, state.exponents}, numbers.slots);
    for (api::Slot s = 0; s < numbers.slots; ++s) AddSlot(numbers, state, s, sum);
    if (Saturates(numbers, sum.tag)) {
      sum.Clear({base::Step(step), 1, RedoExponents(sum)}, numbers.slots);
      for (api::Slot s = 0; s < numbers.slots; ++s) AddSlot(numbers, state, s, sum);
    }
    Apply(numbers, sum, state);
    digests.push_back(Digest(state));
  }
  return digests;
}

}  // namespace muster::sim
