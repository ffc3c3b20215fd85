#include "worker/device/memory.h"

#include "operator/base/check.h"

namespace muster::device {

DeviceBytes CountDeviceBytes(std::int64_t parameters, api::Reduction reduction,
                             std::int64_t slot_bytes) {
  MUSTER_CHECK(parameters > 0 && slot_bytes >= 0, "an empty model");
  constexpr std::int64_t kWord = 4;
  DeviceBytes bytes;
  bytes.state = parameters * 3 * kWord;
  bytes.sum = parameters * (reduction == api::Reduction::kExact64 ? 2 * kWord : kWord);
  bytes.reduced = bytes.sum;
  bytes.slot = slot_bytes;
  return bytes;
}

std::int64_t CountHostBytes(std::int64_t parameters, api::Reduction reduction, bool sums_by_ring) {
  const DeviceBytes bytes = CountDeviceBytes(parameters, reduction, 0);
  return bytes.state + (sums_by_ring ? bytes.sum + bytes.reduced : 0);
}

}  // namespace muster::device
