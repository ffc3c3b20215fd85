// How many bytes of a GPU's memory a job takes, counted before the member joins.
//
// For each parameter, in bytes:
//   state      12   weight and two moments, float
//   gradient    4   of one slot, float; it is also where a third of a received state lands
//   sum         8   Exact64's integer; 4 with Exact32 and Float
//   reduced     8   as the sum: reductions are out of place, so that an abort leaves sums whole
//              32   Exact64; 24 Exact32 and Float
//
// For each of a slot's batch x context tokens, with L layers, H heads, width W, context T and the
// vocabulary V rounded up to 16, all floats kept for the way back:
//   4 x (L x (16 W + 4 + H T) + 12 W + 2 + V + H T) + 8
// that is, in each layer input, two norms with their means and deviations, query-key-value,
// attention's probabilities, and the MLP; then gradients of activations, which layers share, logits,
// and a double of loss. It is the CPU's arrangement (worker/model/gpt_memory.h): no GPU program is
// wired in yet; that of worker/cuda says what it takes (gpt_bytes).
//
// kReservedBytes comes on top: an assumption, not a measurement, for the driver's context, the
// module's code and the workspaces of libraries. Pure.
#pragma once

#include <cstdint>

#include "operator/api/training_job.h"

namespace muster::device {

inline constexpr std::int64_t kReservedBytes = std::int64_t{1} << 30;

struct ActivationShape {
  std::int64_t layers = 0, heads = 0, width = 0, context = 0, batch = 0, vocabulary = 0;
};

struct DeviceBytes {
  std::int64_t state = 0;
  std::int64_t gradient = 0;
  std::int64_t sum = 0;
  std::int64_t reduced = 0;
  std::int64_t activations = 0;
  std::int64_t reserved = kReservedBytes;
  std::int64_t total() const { return state + gradient + sum + reduced + activations + reserved; }
  friend bool operator==(const DeviceBytes&, const DeviceBytes&) = default;
};

// Of a GPT. Numbers are those of a validated job, so nothing overflows.
DeviceBytes CountDeviceBytes(std::int64_t parameters, api::Reduction reduction,
                             const ActivationShape& shape);

}  // namespace muster::device
