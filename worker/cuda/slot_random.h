// Dropout by counter-based random numbers (E2): the words of worker/model/random.h's SlotRandom.
//
// One call makes the words of four neighbours, so kernels work on four elements at a time.
// Thread rule: pure functions.
#pragma once

#include <cstdint>

#include "worker/cuda/portable.h"

namespace muster::cuda {

// What changes from slot to slot.
struct DropoutKey {
  std::uint64_t key = 0;
  std::uint64_t slot = 0;  // in the upper half
};

// What dropout does in one operation of one slot. Made on the host by MakeDropout.
struct Dropout {
  // Where kernels read key and slot, so that a launch fits every slot (gpt_graphs.h); null: they are
  // in the two numbers below.
  const DropoutKey* of_slot = nullptr;
  std::uint64_t key = 0;
  std::uint64_t operation = 0;
  std::uint64_t threshold = 0;  // a word below it drops its element; 0: no dropout
  float scale = 1;
};

struct Words4 {
  std::uint32_t at[4];
};

// Philox4x32-10, as operator/base/rng.h.
MUSTER_BOTH Words4 Philox(std::uint64_t key, std::uint64_t high, std::uint64_t low) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key);
  std::uint32_t k1 = static_cast<std::uint32_t>(key >> 32);
  Words4 c;
  c.at[0] = static_cast<std::uint32_t>(low);
  c.at[1] = static_cast<std::uint32_t>(low >> 32);
  c.at[2] = static_cast<std::uint32_t>(high);
  c.at[3] = static_cast<std::uint32_t>(high >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = static_cast<std::uint64_t>(0xD2511F53u) * c.at[0];
    const std::uint64_t p1 = static_cast<std::uint64_t>(0xCD9E8D57u) * c.at[2];
    c.at[0] = static_cast<std::uint32_t>(p1 >> 32) ^ c.at[1] ^ k0;
    c.at[1] = static_cast<std::uint32_t>(p1);
    c.at[2] = static_cast<std::uint32_t>(p0 >> 32) ^ c.at[3] ^ k1;
    c.at[3] = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

inline DropoutKey MakeDropoutKey(std::uint64_t seed, std::int64_t step, std::int32_t slot) {
  constexpr std::uint64_t kSlot = 0x736c6f7400000000ull;  // as worker/model/random.cc
  DropoutKey key;
  key.key = Mix64(Mix64(seed ^ kSlot) + static_cast<std::uint64_t>(step));
  key.slot = static_cast<std::uint64_t>(static_cast<std::uint32_t>(slot)) << 32;
  return key;
}

// `operation`: 0 the embedding, then two a block (attention, MLP), as on the CPU. The key is read
// where `of_slot` is, of the device.
inline Dropout MakeDropout(const DropoutKey* of_slot, std::int64_t operation, double rate) {
  Dropout dropout;
  if (!(rate > 0)) return dropout;
  dropout.of_slot = of_slot;
  dropout.operation = static_cast<std::uint64_t>(operation);
  dropout.threshold = static_cast<std::uint64_t>(rate * 4294967296.0);
  dropout.scale = static_cast<float>(1.0 / (1.0 - rate));
  return dropout;
}

// The same with the key in it.
MUSTER_BOTH Dropout WithKey(const Dropout& from) {
  Dropout dropout = from;
  if (dropout.of_slot == nullptr) return dropout;
  dropout.key = dropout.of_slot->key;
  dropout.operation |= dropout.of_slot->slot;
  dropout.of_slot = nullptr;
  return dropout;
}

// With key and slot as numbers.
inline Dropout MakeDropout(std::uint64_t seed, std::int64_t step, std::int32_t slot,
                           std::int64_t operation, double rate) {
  const DropoutKey key = MakeDropoutKey(seed, step, slot);
  return WithKey(MakeDropout(&key, operation, rate));
}

// Elements [first, first + 4) of an operation; first is a multiple of 4. The dropout has its key.
MUSTER_BOTH void Drop4(const Dropout& dropout, std::int64_t first, float* x) {
  if (dropout.threshold == 0) return;
  const Words4 words =
      Philox(dropout.key, dropout.operation, static_cast<std::uint64_t>(first) / 4);
  for (int i = 0; i < 4; ++i) {
    x[i] = words.at[i] < dropout.threshold ? 0.0f : x[i] * dropout.scale;
  }
}

}  // namespace muster::cuda
