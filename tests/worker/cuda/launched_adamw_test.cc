// The update and the digest as launched: the bits of worker/train and worker/exact.
#include "tests/worker/cuda/edges.h"
#include "tests/worker/cuda/launched.h"
#include "worker/exact/digest.h"
#include "worker/exact/fixed_point.h"
#include "worker/train/optimizer.h"

namespace muster::cuda {
namespace {

MusterCudaAdamW Constants(const train::AdamWParams& p) {
  return {p.beta1,
          p.one_minus_beta1,
          p.beta2,
          p.one_minus_beta2,
          p.gradient_scale,
          p.step_size,
          p.inverse_correction2,
          p.epsilon,
          p.keep};
}

const train::AdamWOptions kUsual = {
    .learning_rate = 6e-4, .weight_decay = 0.1, .clip_factor = 0.37, .update = 2};
const train::AdamWOptions kUnusual = {
    .learning_rate = 1e30, .weight_decay = 1e30, .clip_factor = 1e-30, .update = 1};

struct State {
  std::vector<float> w, m, v;
};

State MakeState(std::size_t n, bool edges) {
  State state{RandomFloats(n, 1, false), RandomFloats(n, 2, false), RandomFloats(n, 3, false)};
  for (float& v : state.v) v = std::abs(v);
  const std::vector<float> values = EdgeFloats();
  for (std::size_t i = 0; edges && i < n; ++i) {
    if (i % 3 == 0) state.w[i] = values[i % values.size()];
    if (i % 5 == 0) state.m[i] = values[i * 7 % values.size()];
    if (i % 7 == 0) state.v[i] = values[i * 11 % values.size()];
  }
  return state;
}

template <typename Int>
std::vector<Int> Reduced(std::size_t n) {
  std::vector<Int> q(n);
  for (std::size_t i = 0; i < n; ++i) q[i] = static_cast<Int>(base::Mix64(i) >> (i % 50));
  return q;
}

class LaunchedAdamWTest : public LaunchedTest {
 protected:
  template <typename Sum, typename Dequantiser>
  void Compare(std::int32_t kind, const std::vector<Sum>& reduced, double factor,
               const Dequantiser& dequantise, std::uint64_t index, bool edges) {
    const std::size_t n = reduced.size();
    const train::AdamWParams params = train::MakeAdamWParams(edges ? kUnusual : kUsual);
    State cpu = MakeState(n, edges);
    float *const w = Up(cpu.w), *const m = Up(cpu.m), *const v = Up(cpu.v);
    std::vector<float> gradient(n);
    dequantise(std::span<const Sum>(reduced), std::span<float>(gradient));
    train::AdamWBlock(params, gradient, cpu.w, cpu.m, cpu.v);

    const MusterCudaSums sums = {kind, Up(reduced), static_cast<std::int64_t>(n), index};
    const MusterCudaAdamW constants = Constants(params);
    MusterCudaFolds* const folds = Up(std::vector<MusterCudaFolds>{{1, 2, 3}});
    ASSERT_EQ(module().update(context(), &sums, factor, &constants, w, m, v, folds, message()), 0)
        << text();
    const std::vector<float> gpu_w = Down(w, n), gpu_m = Down(m, n), gpu_v = Down(v, n);
    ASSERT_EQ(BitsOf(gpu_w), BitsOf(cpu.w));
    ASSERT_EQ(BitsOf(gpu_m), BitsOf(cpu.m));
    ASSERT_EQ(BitsOf(gpu_v), BitsOf(cpu.v));
    // Of what the vectors really became, NaNs and all, and added to what was there.
    const MusterCudaFolds got = Down(folds, 1).front();
    EXPECT_EQ(got.weights, 1 + exact::DigestFold(gpu_w, index, exact::kWeightsStream));
    EXPECT_EQ(got.first, 2 + exact::DigestFold(gpu_m, index, exact::kMomentStream));
    EXPECT_EQ(got.second, 3 + exact::DigestFold(gpu_v, index, exact::kVarianceStream));
    Release();
  }

  void CompareFold(std::size_t n, std::uint64_t index) {
    const std::vector<float> values = RandomFloats(n, n, true);
    std::uint64_t* const fold = Up(std::vector<std::uint64_t>{9});
    ASSERT_EQ(module().digest(context(), Up(values), static_cast<std::int64_t>(n), index,
                              exact::kVarianceStream, fold, message()),
              0)
        << text();
    EXPECT_EQ(Down(fold, 1).front(), 9 + exact::DigestFold(values, index, exact::kVarianceStream))
        << n << " " << index;
    Release();
  }

  void CompareKinds(std::size_t n, std::uint64_t index, bool edges) {
    const exact::Kernels& plain = *exact::SupportedKernels().front();
    const double factor64 = exact::Factor64(64), factor32 = exact::Factor32(-5, 64);
    Compare(
        MUSTER_CUDA_INT64, Reduced<std::int64_t>(n), factor64,
        [&](auto q, auto out) { plain.dequantise64(q, factor64, out); }, index, edges);
    Compare(
        MUSTER_CUDA_INT32, Reduced<std::int32_t>(n), factor32,
        [&](auto q, auto out) { plain.dequantise32(q, factor32, out); }, index, edges);
    Compare(
        MUSTER_CUDA_FLOAT, RandomFloats(n, 4, edges), 1.0f / 64,
        [&](auto q, auto out) { plain.scale_float(q, 1.0f / 64, out); }, index, edges);
  }
};

TEST_F(LaunchedAdamWTest, UpdatesAndFoldsEveryShapeAsOnTheCpu) {
  for (const simt::Settings& settings : simt::AllOrders()) {
    simt::Configure(settings);
    for (const std::size_t n : kShapes) {
      for (const std::uint64_t index : kIndices) CompareKinds(n, index, false);
    }
  }
}

TEST_F(LaunchedAdamWTest, UpdatesEdgesAsOnTheCpu) {
  for (const simt::Settings& settings : simt::AllOrders()) {
    simt::Configure(settings);
    CompareKinds(10000, 3, true);
  }
}

TEST_F(LaunchedAdamWTest, UpdatesMoreElementsThanTheGridHasThreadsAsOnTheCpu) {
  MixOrders();
  CompareKinds(kMoreThanTheGrid, 0xffff0000ull, false);
}

TEST_F(LaunchedAdamWTest, FoldsVectorsAsOnTheCpu) {
  for (const simt::Settings& settings : simt::AllOrders()) {
    simt::Configure(settings);
    for (const std::size_t n : kShapes) {
      for (const std::uint64_t index : kIndices) CompareFold(n, index);
    }
  }
  MixOrders();
  CompareFold(kMoreThanTheGrid, 0xffff0000ull);
}

}  // namespace
}  // namespace muster::cuda
