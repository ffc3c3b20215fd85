#include "worker/exact/loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "operator/base/check.h"

namespace muster::exact {

std::int64_t QuantiseLoss(double nats, std::int64_t terms) {
  MUSTER_CHECK(terms >= 1, "a sum has at least one term");
  if (!std::isfinite(nats)) return 0;
  constexpr double kMost = 0x1p22;
  const std::int64_t limit = std::numeric_limits<std::int64_t>::max() / terms;
  const auto fixed = static_cast<std::int64_t>(
      std::nearbyint(std::clamp(nats, -kMost, kMost) * (std::int64_t{1} << kLossFractionBits)));
  return std::clamp(fixed, -limit, limit);
}

double DequantiseLoss(std::int64_t fixed) {
  return static_cast<double>(fixed) / (std::int64_t{1} << kLossFractionBits);
}

}  // namespace muster::exact
