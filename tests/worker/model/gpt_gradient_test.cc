// Every tensor's gradient against central differences of the loss, with dropout on: the mask of the
// way back has to be that of the way forward.
#include <cmath>

#include "operator/base/rng.h"
#include "tests/worker/model/gradients.h"

namespace muster::model {
namespace {

class GptGradientTest : public testing::TestWithParam<double> {};

TEST_P(GptGradientTest, DirectionalDerivativesOfEveryTensorAgree) {
  const api::ProgramConfig config{.layers = 2,
                                  .heads = 3,
                                  .width = 24,
                                  .context = 7,
                                  .batch = 2,
                                  .vocabulary = 37,
                                  .dropout = GetParam()};
  const auto program = Make(config);
  const Layout& layout = program->layout();
  std::vector<float> weights = Weights(*program, 5);
  // Away from the initial state, where many gradients nearly vanish.
  base::SplitMix random(11);
  for (float& w : weights) w += 0.2f * static_cast<float>(random.Uniform() - 0.5);
  const std::vector<std::int32_t> tokens = Tokens(config);
  const SlotKey key{3, 9, 4};
  KeptGradients gradients(layout);
  const SlotLoss at = program->ComputeSlot(weights, tokens, key, gradients);
  KeptGradients unused(layout);
  const auto loss = [&](std::span<const float> w) {
    const SlotLoss l = program->ComputeSlot(w, tokens, key, unused);
    return l.sum / static_cast<double>(l.tokens);
  };
  ASSERT_GT(at.sum, 0);
  for (const Tensor& tensor : layout.tensors) {
    // Along the gradient itself: the derivative is its length, the best-conditioned direction.
    const std::size_t first = static_cast<std::size_t>(tensor.offset);
    const std::size_t count = static_cast<std::size_t>(tensor.size);
    double length = 0;
    for (std::size_t i = first; i < first + count; ++i) {
      length += static_cast<double>(gradients.values[i]) * gradients.values[i];
    }
    length = std::sqrt(length);
    ASSERT_GT(length, 1e-5) << tensor.name;
    const double step = 0.02;
    const auto moved = [&](double by) {
      std::vector<float> w = weights;
      for (std::size_t i = first; i < first + count; ++i) {
        w[i] += static_cast<float>(by / length * gradients.values[i]);
      }
      return loss(w);
    };
    const double derivative =
        (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step);
    EXPECT_NEAR(derivative, length, 0.01 * length + 2e-5) << tensor.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Dropout, GptGradientTest, testing::Values(0.0, 0.25));

}  // namespace
}  // namespace muster::model
