// bfloat16 as it lies in memory, on CPU and GPU: the upper half of a float, rounded to nearest even.
//
// Conversions are integer arithmetic, so both sides have the same bits; a NaN becomes 0x7fff, as
// the GPU's own instruction makes it. Tensor cores read the same memory as __nv_bfloat16.
// Thread rule: pure functions.
#pragma once

#include <cstdint>

#include "worker/cuda/portable.h"

namespace muster::cuda {

// No constructor: it lies in shared memory too.
struct Bf16 {
  std::uint16_t bits;
};
static_assert(sizeof(Bf16) == 2, "as __nv_bfloat16");

// Four neighbours, loaded and stored as one.
struct alignas(8) Bf16x4 {
  Bf16 at[4];
};

// Eight neighbours: the widest load of a GPU.
struct alignas(16) Bf16x8 {
  Bf16 at[8];
};

MUSTER_BOTH float FloatOf(std::uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

MUSTER_BOTH float ToFloat(Bf16 value) {
  return FloatOf(static_cast<std::uint32_t>(value.bits) << 16);
}

MUSTER_BOTH Bf16 ToBf16(float value) {
  const std::uint32_t bits = FloatBits(value);
  Bf16 rounded;
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    rounded.bits = 0x7fff;
    return rounded;
  }
  rounded.bits = static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  return rounded;
}

// What is left of a float that went through bfloat16.
MUSTER_BOTH float Rounded(float value) { return ToFloat(ToBf16(value)); }

}  // namespace muster::cuda
