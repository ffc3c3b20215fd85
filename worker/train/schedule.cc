#include "worker/train/schedule.h"

#include <algorithm>

#include "worker/kernels/math.h"

namespace muster::train {
namespace {

constexpr double kFinalShare = 0.1;

}  // namespace

double Schedule::LearningRate(std::int64_t step) const {
  step = std::max<std::int64_t>(step, 1);
  if (step <= warmup_steps) {
    return peak * static_cast<double>(step) / static_cast<double>(warmup_steps);
  }
  const double past = static_cast<double>(std::min(step, steps) - warmup_steps);
  const double share = past / static_cast<double>(std::max(steps - warmup_steps, std::int64_t{1}));
  // (1 + cos(pi share)) / 2 falls from 1 to 0.
  const double fall = 0.5 * (1.0 + kernels::SinCos2Pi(0.5 * share).cos);
  return peak * (kFinalShare + (1.0 - kFinalShare) * fall);
}

}  // namespace muster::train
