// The arithmetic that is simulated: integers per slot that depend on everything a real gradient
// depends on, so that any slot computed from a wrong state, added twice, lost, or summed under
// other exponents ends in another digest.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "operator/api/view.h"

namespace muster::sim {

struct Numbers {
  std::uint64_t seed = 0;
  std::int32_t slots = 8;
  bool exact32 = false;  // exponents are state, and some steps saturate at their first attempt
};

struct ModelState {
  std::int64_t step = 0;
  std::array<std::uint64_t, 3> weights{};
  std::uint64_t exponents = 0;
  friend bool operator==(const ModelState&, const ModelState&) = default;
};

struct Sum {
  api::SumTag tag;
  std::array<std::uint64_t, 3> words{};  // mod 2^64, as a linear checksum is
  std::vector<std::int32_t> counters;    // per slot (E9)
  void Clear(const api::SumTag& t, std::int32_t slots);
};

ModelState FreshState(const Numbers& numbers);
std::uint64_t Digest(const ModelState& state);
void AddSlot(const Numbers& numbers, const ModelState& state, api::Slot slot, Sum& sum);
void AddSum(const Sum& part, Sum& whole);
bool Saturates(const Numbers& numbers, const api::SumTag& tag);
std::uint64_t RedoExponents(const Sum& sum);
void Apply(const Numbers& numbers, const Sum& sum, ModelState& state);

// Digests after each step of a run in which nothing fails; index = step.
std::vector<std::uint64_t> FaultFree(const Numbers& numbers, std::int64_t steps);

}  // namespace muster::sim
