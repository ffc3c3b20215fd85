#include "worker/train/optimizer.h"

#include "operator/base/check.h"
#include "worker/kernels/table.h"

namespace muster::train {
namespace {

// base^exponent by squaring: exact order of products, no libm (E3).
double Power(double base, std::int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result *= base;
    base *= base;
  }
  return result;
}

}  // namespace

AdamWParams MakeAdamWParams(const AdamWOptions& options) {
  MUSTER_CHECK(options.update >= 1, "Adam's update count starts at 1");
  const double correction1 = 1.0 - Power(options.beta1, options.update);
  const double correction2 = 1.0 - Power(options.beta2, options.update);
  AdamWParams p;
  p.beta1 = static_cast<float>(options.beta1);
  p.one_minus_beta1 = static_cast<float>(1.0 - options.beta1);
  p.beta2 = static_cast<float>(options.beta2);
  p.one_minus_beta2 = static_cast<float>(1.0 - options.beta2);
  p.gradient_scale = static_cast<float>(options.clip_factor);
  p.step_size = static_cast<float>(options.learning_rate / correction1);
  p.inverse_correction2 = static_cast<float>(1.0 / correction2);
  p.epsilon = static_cast<float>(options.epsilon);
  p.keep = static_cast<float>(1.0 - options.learning_rate * options.weight_decay);
  return p;
}

void AdamWBlock(const AdamWParams& params, std::span<const float> gradient, std::span<float> w,
                std::span<float> m, std::span<float> v) {
  const std::size_t n = gradient.size();
  MUSTER_CHECK(w.size() == n && m.size() == n && v.size() == n, "blocks of different lengths");
  kernels::BestKernels().adamw(params, gradient.data(), w.data(), m.data(), v.data(),
                               static_cast<std::int64_t>(n));
}

double ClipFactor(double norm, double limit) {
  return limit > 0 && norm > limit ? limit / norm : 1.0;
}

}  // namespace muster::train
