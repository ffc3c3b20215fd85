#include "worker/exact/loss.h"

#include <algorithm>
#include <cmath>

namespace muster::exact {

std::int64_t QuantiseLoss(double nats) {
  constexpr double kMost = 0x1p22;
  if (!std::isfinite(nats)) return 0;
  return static_cast<std::int64_t>(
      std::nearbyint(std::clamp(nats, -kMost, kMost) * (std::int64_t{1} << kLossFractionBits)));
}

double DequantiseLoss(std::int64_t fixed) {
  return static_cast<double>(fixed) / (std::int64_t{1} << kLossFractionBits);
}

}  // namespace muster::exact
