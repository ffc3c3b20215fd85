// The keyed permutation behind E1 and the arithmetic from (step, slot, row) to sample ids.
#include "worker/data/order.h"

#include "operator/base/check.h"
#include "operator/base/rng.h"

namespace muster::data {
namespace {

// Luby and Rackoff need four rounds of a random function for a strong pseudorandom permutation;
// eight leave room for the short halves of small data sets and cost nothing beside a forward pass.
constexpr int kRounds = 8;
constexpr std::uint64_t kPurpose =
    0x6f72646572ULL;  // "order": keeps E2's other uses of the seed apart

struct Feistel {
  std::uint64_t key;
  int half_bits;

  std::uint64_t Once(std::uint64_t x) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
    std::uint64_t left = x >> half_bits;
    std::uint64_t right = x & mask;
    for (int round = 0; round < kRounds; ++round) {
      const std::uint64_t round_key = base::Mix64(key + static_cast<std::uint64_t>(round));
      const std::uint64_t mixed = base::Mix64(round_key ^ right);
      const std::uint64_t next = left ^ ((mixed >> 32) & mask);
      left = right;
      right = next;
    }
    return left << half_bits | right;
  }
};

}  // namespace

std::uint64_t Permute(std::uint64_t seed, std::uint64_t data_epoch, std::uint64_t index,
                      std::uint64_t n) {
  MUSTER_CHECK(index < n, "a sample's position must be below the number of samples");
  int half_bits = 1;
  while (half_bits < 32 && (std::uint64_t{1} << (2 * half_bits)) < n) ++half_bits;
  const auto words = base::Philox(seed, kPurpose, data_epoch);
  const Feistel feistel{std::uint64_t{words[0]} << 32 | words[1], half_bits};
  // The network permutes a power of four >= n. From an index below n its cycle must come back below
  // n, and the first such value is again a bijection.
  std::uint64_t id = feistel.Once(index);
  while (id >= n) id = feistel.Once(id);
  return id;
}

std::vector<std::uint64_t> SampleOrder::SlotSamples(base::Step step, std::int32_t slot) const {
  MUSTER_CHECK(step.value >= 1, "steps are numbered from 1");
  MUSTER_CHECK(samples >= 1 && slot >= 0 && slot < slots, "a slot is in [0, M)");
  const std::uint64_t n = static_cast<std::uint64_t>(samples);
  const std::uint64_t slot_of_run =
      static_cast<std::uint64_t>(step.value - 1) * static_cast<std::uint64_t>(slots) +
      static_cast<std::uint64_t>(slot);
  const std::uint64_t first = slot_of_run * static_cast<std::uint64_t>(samples_per_slot);
  std::vector<std::uint64_t> ids;
  ids.reserve(static_cast<std::size_t>(samples_per_slot));
  for (std::int32_t i = 0; i < samples_per_slot; ++i) {
    const std::uint64_t sample = first + static_cast<std::uint64_t>(i);
    ids.push_back(Permute(seed, sample / n, sample % n, n));
  }
  return ids;
}

}  // namespace muster::data
