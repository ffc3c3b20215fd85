// Counter-based randomness of a model (E2): initial weights and dropout masks.
//
// Each value is a function of (seed, step, slot, operation, element), so it depends neither on the
// order of calls nor on threads. No libm (E3).
#pragma once

#include <cstdint>
#include <span>

#include "worker/model/program.h"

namespace muster::model {

// Fills with normal values of mean 0; `operation` is the tensor's index. `first` is the index of
// out[0] in the tensor and a multiple of 4, so that blocks can be filled in any order.
void FillNormal(std::uint64_t seed, std::uint64_t operation, std::int64_t first, double deviation,
                std::span<float> out);

// A word of randomness for one element of one operation in one slot.
class SlotRandom {
 public:
  SlotRandom(const SlotKey& key, std::uint64_t operation);
  // Words of elements [first, first + out.size()).
  void Fill(std::int64_t first, std::span<std::uint32_t> out) const;

 private:
  std::uint64_t key_;
  std::uint64_t operation_;
};

// Inverted dropout: x = 0 with probability `rate`, else x / (1 - rate). The same call on gradients
// is its way back.
void Dropout(const SlotRandom& random, double rate, std::int64_t first, std::span<float> x);

}  // namespace muster::model
