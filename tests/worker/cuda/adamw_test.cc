#include "worker/cuda/adamw.h"

#include <gtest/gtest.h>

#include "tests/worker/cuda/edges.h"
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

const train::AdamWOptions kOptions[] = {
    {},
    {.learning_rate = 6e-4, .weight_decay = 0.1, .clip_factor = 0.37, .update = 2},
    {.learning_rate = 0.3, .beta1 = 0.5, .beta2 = 0.999, .epsilon = 1e-30, .update = 100000},
    {.learning_rate = 1e30, .weight_decay = 1e30, .clip_factor = 1e-30, .update = 1},
};

struct State {
  std::vector<float> w, m, v;
};

State MakeState(std::size_t n, bool edges) {
  State state{RandomFloats(n, 1, false), RandomFloats(n, 2, false), RandomFloats(n, 3, false)};
  for (float& v : state.v) v = std::abs(v);
  if (!edges) return state;
  const std::vector<float> values = EdgeFloats();
  for (std::size_t i = 0; i < n; ++i) {
    if (i % 3 == 0) state.w[i] = values[i % values.size()];
    if (i % 5 == 0) state.m[i] = values[i * 7 % values.size()];
    if (i % 7 == 0) state.v[i] = values[i * 11 % values.size()];
  }
  return state;
}

// NaNs lose sign and payload on a GPU: all count as one.
std::vector<std::uint32_t> BitsOf(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  for (float value : values) {
    bits.push_back(std::isnan(value) ? 0x7fffffffu : FloatBits(value));
  }
  return bits;
}

struct Shape {
  std::size_t n = 0;
  std::uint64_t index = 0;
  std::int64_t threads = 1;
};

template <typename Sum, typename Dequantiser>
void Compare(const std::vector<Sum>& reduced, double factor, const Dequantiser& dequantise,
             const Shape& shape, bool edges) {
  for (const train::AdamWOptions& options : kOptions) {
    const train::AdamWParams params = train::MakeAdamWParams(options);
    State cpu = MakeState(shape.n, edges);
    State gpu = cpu;
    std::vector<float> gradient(shape.n);
    dequantise(std::span<const Sum>(reduced), std::span<float>(gradient));
    train::AdamWBlock(params, gradient, cpu.w, cpu.m, cpu.v);
    Folds folds{};
    for (const Share& share : SharesOf(shape.n, shape.threads)) {
      folds = Merge(UpdateState(reduced.data(), factor, Constants(params), gpu.w.data(),
                                gpu.m.data(), gpu.v.data(), share, shape.index),
                    folds);
    }
    ASSERT_EQ(BitsOf(gpu.w), BitsOf(cpu.w));
    ASSERT_EQ(BitsOf(gpu.m), BitsOf(cpu.m));
    ASSERT_EQ(BitsOf(gpu.v), BitsOf(cpu.v));
    // Of what the vectors really became, NaNs and all.
    EXPECT_EQ(folds.weights, exact::DigestFold(gpu.w, shape.index, exact::kWeightsStream));
    EXPECT_EQ(folds.first, exact::DigestFold(gpu.m, shape.index, exact::kMomentStream));
    EXPECT_EQ(folds.second, exact::DigestFold(gpu.v, shape.index, exact::kVarianceStream));
  }
}

template <typename Int>
std::vector<Int> Reduced(std::size_t n) {
  std::vector<Int> q(n);
  for (std::size_t i = 0; i < n; ++i) q[i] = static_cast<Int>(base::Mix64(i) >> (i % 50));
  return q;
}

void CompareAll(const Shape& shape, bool edges) {
  const exact::Kernels& plain = *exact::SupportedKernels().front();
  const double factor64 = exact::Factor64(64), factor32 = exact::Factor32(-5, 64);
  Compare(
      Reduced<std::int64_t>(shape.n), factor64,
      [&](auto q, auto out) { plain.dequantise64(q, factor64, out); }, shape, edges);
  Compare(
      Reduced<std::int32_t>(shape.n), factor32,
      [&](auto q, auto out) { plain.dequantise32(q, factor32, out); }, shape, edges);
  Compare(
      RandomFloats(shape.n, 4, edges), 1.0f / 64,
      [&](auto q, auto out) { plain.scale_float(q, 1.0f / 64, out); }, shape, edges);
}

TEST(CudaAdamWTest, UpdatesAndFoldsAsOnTheCpu) {
  for (const std::size_t n : {0, 1, 33, 1000}) {
    for (const std::int64_t threads : {1, 32, 300}) CompareAll({n, 12345, threads}, false);
  }
}

TEST(CudaAdamWTest, EdgesAsOnTheCpu) { CompareAll({30000, 3, 256}, true); }

TEST(CudaAdamWTest, AnUpdateAcrossTheIndexs32ndBitAsOnTheCpu) {
  CompareAll({100, 0xffffffe0ull, 8}, false);
}

TEST(CudaAdamWTest, FoldsAVectorAsOnTheCpu) {
  const std::vector<float> values = EdgeFloats();
  for (const std::uint32_t stream :
       {exact::kWeightsStream, exact::kMomentStream, exact::kVarianceStream}) {
    for (const std::uint64_t index : {std::uint64_t{0}, std::uint64_t{0x2ffffff80}}) {
      std::uint64_t fold = 0;
      for (const Share& share : SharesOf(values.size(), 96)) {
        fold += DigestFold(values.data(), share, index, stream);
      }
      EXPECT_EQ(fold, exact::DigestFold(values, index, stream));
    }
  }
}

}  // namespace
}  // namespace muster::cuda
