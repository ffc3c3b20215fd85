// The `bench` program: what its gradients depend on, and that its time is what was asked.
#include "worker/model/bench.h"

#include <time.h>

#include <cmath>

#include "tests/worker/model/gradients.h"

namespace muster::model {
namespace {

std::vector<float> Gradients(Program& program, std::span<const float> weights, const SlotKey& key) {
  KeptGradients gradients(program.layout());
  program.ComputeSlot(weights, {}, key, gradients);
  EXPECT_EQ(gradients.times, std::vector<int>(program.layout().tensors.size(), 1));
  return gradients.values;
}

TEST(BenchTest, StateHasTheBytesAskedFor) {
  const auto program = Make({.state_bytes = 4 << 20}, 1, api::Builtin::kBench);
  EXPECT_EQ(program->layout().parameters, (4 << 20) / 12);
  EXPECT_EQ(program->sample_tokens(), 0);
}

TEST(BenchTest, GradientsDependOnKeyAndWeightsAndOnNothingElse) {
  const api::ProgramConfig slow{.state_bytes = 1 << 20, .slot_milliseconds = 2};
  const api::ProgramConfig fast{.state_bytes = 1 << 20, .slot_milliseconds = 0};
  const auto a = Make(slow, 1, api::Builtin::kBench), b = Make(fast, 2, api::Builtin::kBench);
  std::vector<float> weights = Weights(*a, 5);
  EXPECT_EQ(weights, Weights(*b, 5));
  const std::vector<float> expected = Gradients(*a, weights, {1, 2, 3});
  EXPECT_EQ(Gradients(*b, weights, {1, 2, 3}), expected) << "the time burnt reached the gradients";
  EXPECT_NE(Gradients(*a, weights, {9, 2, 3}), expected);
  EXPECT_NE(Gradients(*a, weights, {1, 9, 3}), expected);
  EXPECT_NE(Gradients(*a, weights, {1, 2, 9}), expected);
  weights[77] += 1.0f;
  const std::vector<float> other = Gradients(*a, weights, {1, 2, 3});
  EXPECT_NE(other[77], expected[77]);
  EXPECT_EQ(other[78], expected[78]);
}

TEST(BenchTest, FollowingTheGradientLowersTheLoss) {
  const auto program =
      Make({.state_bytes = 1 << 16, .slot_milliseconds = 0}, 1, api::Builtin::kBench);
  std::vector<float> weights = Weights(*program, 5);
  const double before = program->Evaluate(weights, {}, 1).sum;
  for (int step = 1; step <= 50; ++step) {
    const std::vector<float> gradient = Gradients(*program, weights, {1, step, 0});
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] -= 0.1f * gradient[i];
  }
  EXPECT_LT(program->Evaluate(weights, {}, 1).sum, 0.1 * before);
}

TEST(BenchTest, ASlotBurnsTheProcessorTimeAskedFor) {
  const auto program =
      Make({.state_bytes = 1 << 16, .slot_milliseconds = 8}, 1, api::Builtin::kBench);
  const std::vector<float> weights = Weights(*program, 5);
  const auto cpu_ms = [] {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
  };
  Gradients(*program, weights, {1, 1, 0});  // makes its buffers
  double least = 1e9;
  for (int slot = 0; slot < 5; ++slot) {
    const double start = cpu_ms();
    Gradients(*program, weights, {1, 1, slot});
    least = std::min(least, cpu_ms() - start);
  }
  EXPECT_GE(least, 8);
  EXPECT_LT(least, 12);  // the sink's copy comes on top
}

}  // namespace
}  // namespace muster::model
