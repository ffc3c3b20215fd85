// E3: a slot's bits depend on its key, weights and tokens, and neither on threads, order nor
// history.
#include <cmath>

#include "tests/worker/model/gradients.h"
#include "worker/kernels/family.h"

namespace muster::model {
namespace {

struct Result {
  SlotLoss loss;
  std::vector<float> gradients;
};

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

Result Compute(Program& program, std::span<const float> weights,
               std::span<const std::int32_t> tokens, const SlotKey& key) {
  KeptGradients gradients(program.layout());
  const SlotLoss loss = program.ComputeSlot(weights, tokens, key, gradients);
  return {loss, std::move(gradients.values)};
}

// Odd sizes, so that tiles and vectors have tails; wide enough for several tiles.
const api::ProgramConfig kOdd{.layers = 2,
                              .heads = 3,
                              .width = 195,
                              .context = 37,
                              .batch = 3,
                              .vocabulary = 771,
                              .dropout = 0.1};
const api::ProgramConfig kExample{
    .layers = 2, .heads = 4, .width = 128, .context = 128, .batch = 1, .vocabulary = 256};

class DeterminismTest : public testing::TestWithParam<api::ProgramConfig> {};

TEST_P(DeterminismTest, OneAndSeveralThreadsGiveTheSameBits) {
  RecordProperty("core", kernels::ActiveCore());
  const auto one = Make(GetParam(), 1);
  const std::vector<float> weights = Weights(*one, 5);
  const std::vector<std::int32_t> tokens = Tokens(GetParam());
  const Result expected = Compute(*one, weights, tokens, {1, 2, 3});
  ASSERT_TRUE(std::isfinite(expected.loss.sum));
  for (int threads : {2, 3}) {
    const auto several = Make(GetParam(), threads);
    EXPECT_TRUE(SameBits(Weights(*several, 5), weights));
    const Result result = Compute(*several, weights, tokens, {1, 2, 3});
    EXPECT_EQ(result.loss.sum, expected.loss.sum);
    EXPECT_TRUE(SameBits(result.gradients, expected.gradients)) << threads << " threads";
  }
}

TEST_P(DeterminismTest, SlotsDoNotDependOnWhatCameBefore) {
  const auto program = Make(GetParam(), 2);
  const std::vector<float> weights = Weights(*program, 5);
  const std::vector<std::int32_t> a = Tokens(GetParam(), 1), b = Tokens(GetParam(), 2);
  const Result a_first = Compute(*program, weights, a, {1, 2, 0});
  const Result b_second = Compute(*program, weights, b, {1, 2, 1});
  program->Evaluate(weights, a, 1);
  const auto other = Make(GetParam(), 2);
  const Result b_first = Compute(*other, weights, b, {1, 2, 1});
  const Result a_second = Compute(*other, weights, a, {1, 2, 0});
  EXPECT_TRUE(SameBits(a_first.gradients, a_second.gradients));
  EXPECT_TRUE(SameBits(b_first.gradients, b_second.gradients));
  EXPECT_FALSE(SameBits(a_first.gradients, b_first.gradients));
}

INSTANTIATE_TEST_SUITE_P(Shapes, DeterminismTest, testing::Values(kOdd, kExample));

TEST(DeterminismTest, DropoutDependsOnSeedStepAndSlot) {
  const auto program = Make(kOdd, 1);
  const std::vector<float> weights = Weights(*program, 5);
  const std::vector<std::int32_t> tokens = Tokens(kOdd);
  const double base = Compute(*program, weights, tokens, {1, 1, 1}).loss.sum;
  EXPECT_EQ(Compute(*program, weights, tokens, {1, 1, 1}).loss.sum, base);
  EXPECT_NE(Compute(*program, weights, tokens, {2, 1, 1}).loss.sum, base);
  EXPECT_NE(Compute(*program, weights, tokens, {1, 2, 1}).loss.sum, base);
  EXPECT_NE(Compute(*program, weights, tokens, {1, 1, 2}).loss.sum, base);
  // Held-out loss has no dropout.
  EXPECT_NE(program->Evaluate(weights, tokens, kOdd.batch).sum, base);
}

TEST(DeterminismTest, AWeightThatIsNotANumberShowsInTheLoss) {
  const auto program = Make(kExample, 1);
  std::vector<float> weights = Weights(*program, 5);
  weights[weights.size() / 2] = std::nanf("");
  EXPECT_TRUE(std::isnan(Compute(*program, weights, Tokens(kExample), {1, 1, 1}).loss.sum));
}

}  // namespace
}  // namespace muster::model
