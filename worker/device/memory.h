// How many bytes of a GPU's memory a job takes, counted before the member joins.
//
// For each parameter, in bytes:
//   state      12   weight and two moments, float
//   sum         8   Exact64's integer; 4 with Exact32 and Float
//   reduced     8   as the sum: reductions are out of place, so that an abort leaves sums whole
// and what the program's engine says that one slot takes: activations, gradients, scratch, and its
// copy of the weights (MusterCudaModule::gpt_bytes).
//
// kReservedBytes comes on top: an assumption, not a measurement, for the driver's context, the
// module's code and the workspaces of libraries. Pure.
#pragma once

#include <cstdint>

#include "operator/api/training_job.h"

namespace muster::device {

inline constexpr std::int64_t kReservedBytes = std::int64_t{1} << 30;

struct DeviceBytes {
  std::int64_t state = 0;
  std::int64_t sum = 0;
  std::int64_t reduced = 0;
  std::int64_t slot = 0;
  std::int64_t reserved = kReservedBytes;
  std::int64_t total() const { return state + sum + reduced + slot + reserved; }
  friend bool operator==(const DeviceBytes&, const DeviceBytes&) = default;
};

// Numbers are those of a validated job, so nothing overflows.
DeviceBytes CountDeviceBytes(std::int64_t parameters, api::Reduction reduction,
                             std::int64_t slot_bytes);

// Of the host's memory, beside the program itself: 12 bytes a parameter while a state is made, read
// from a checkpoint, or staged for one; page-locked copies of both sums where the ring carries them.
// A checkpoint that begins while the disk is still busy with the one before it takes its share once
// more, which is not counted.
std::int64_t CountHostBytes(std::int64_t parameters, api::Reduction reduction, bool sums_by_ring);

}  // namespace muster::device
