// Which samples a slot reads (E1): a function of (seed, step, slot), in O(1) memory.
//
// Sample n = ((step - 1) * M + slot) * B + i of the run, for steps numbered from 1. Data epoch n
// div N reads all N samples once, in the order of a keyed permutation: sample id = Permute(seed, n
// div N, n mod N, N). The number of workers appears nowhere, so a redone or moved slot reads the
// same samples and the only data state of a run is its step. Pure; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "operator/base/ids.h"

namespace muster::data {

// A bijection on [0, n) keyed by (seed, data_epoch): a Feistel network over the smallest even
// number of bits that holds n, walked along its cycle until it lands below n (four steps on average
// at most). n >= 1 and index < n.
std::uint64_t Permute(std::uint64_t seed, std::uint64_t data_epoch, std::uint64_t index,
                      std::uint64_t n);

// A value: the order in which one job reads its data.
struct SampleOrder {
  std::uint64_t seed = 0;
  std::int64_t samples = 1;           // N, Dataset::samples()
  std::int32_t slots = 1;             // M
  std::int32_t samples_per_slot = 1;  // B

  // The ids of one slot's B samples, in row order. step >= 1, 0 <= slot < M.
  std::vector<std::uint64_t> SlotSamples(base::Step step, std::int32_t slot) const;
};

}  // namespace muster::data
