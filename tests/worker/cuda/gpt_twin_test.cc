// The element arithmetic of the GPT's kernels against the CPU's, bit for bit. It takes no emulator.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/worker/cuda/edges.h"
#include "worker/cuda/gelu.h"
#include "worker/cuda/slot_random.h"
#include "worker/cuda/token_order.h"
#include "worker/kernels/math.h"
#include "worker/kernels/table.h"
#include "worker/model/random.h"

namespace muster::cuda {
namespace {

TEST(CudaBf16Test, RoundsToNearestEvenAndBackIsExact) {
  for (std::uint32_t high = 0; high <= 0xffff; ++high) {
    Bf16 value;
    value.bits = static_cast<std::uint16_t>(high);
    const float exact = ToFloat(value);
    if (std::isnan(exact)) {
      EXPECT_EQ(ToBf16(exact).bits, 0x7fff);
      continue;
    }
    EXPECT_EQ(ToBf16(exact).bits, high);
    if (std::isinf(exact)) continue;
    // Half a step further, in the direction of greater magnitude: to the even neighbour.
    const std::uint32_t half = high << 16 | 0x8000u;
    EXPECT_EQ(ToBf16(FloatOf(half)).bits, (high & 1) != 0 ? high + 1 : high);
    EXPECT_EQ(ToBf16(FloatOf(half - 1)).bits, high);
    EXPECT_EQ(ToBf16(FloatOf(half + 1)).bits, high + 1);
  }
}

std::vector<float> ManyFloats() {
  std::vector<float> values = EdgeFloats();
  for (int i = -20000; i <= 20000; ++i) values.push_back(static_cast<float>(i) * 0.005f);
  const std::vector<float> random = RandomFloats(20000, 3, true);
  values.insert(values.end(), random.begin(), random.end());
  return values;
}

void ExpectBits(float gpu, float cpu, float x) {
  if (std::isnan(gpu) && std::isnan(cpu)) return;
  EXPECT_EQ(FloatBits(gpu), FloatBits(cpu)) << x;
}

TEST(CudaGeluTest, ExpLogAndGeluHaveTheBitsOfTheCpu) {
  const kernels::Kernels& plain = *kernels::SupportedKernels().front();
  const std::vector<float> values = ManyFloats();
  const auto size = static_cast<std::int64_t>(values.size());
  std::vector<float> cpu(values.size()), back(values.size());
  const std::vector<float> dy = RandomFloats(values.size(), 4, false);
  plain.gelu(values.data(), cpu.data(), size);
  plain.gelu_backward(values.data(), dy.data(), back.data(), size);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float x = values[i];
    ExpectBits(Exp(x), kernels::Exp<float>(x), x);
    ExpectBits(Gelu(x), cpu[i], x);
    ExpectBits(GeluBackward(x, dy[i]), back[i], x);
    const double ours = Log(x), theirs = kernels::Log(x);
    EXPECT_EQ(std::isnan(ours), std::isnan(theirs)) << x;
    if (!std::isnan(ours)) {
      EXPECT_EQ(ours, theirs) << x;
    }
  }
}

TEST(CudaDropoutTest, DropsWhatTheCpuDrops) {
  for (const double rate : {0.0, 1e-12, 0.1, 0.5, 0.999}) {
    for (const std::int32_t slot : {0, 1, -1}) {
      for (const std::int64_t first :
           {std::int64_t{0}, std::int64_t{1024}, std::int64_t{1} << 40}) {
        const model::SlotKey key{77, 12345678901, slot};
        std::vector<float> cpu = RandomFloats(256, 5, false), gpu = cpu;
        // The CPU's forward does not call it without a rate.
        if (rate > 0) model::Dropout(model::SlotRandom(key, 3), rate, first, cpu);
        const Dropout dropout = MakeDropout(key.seed, key.step, key.slot, 3, rate);
        for (std::size_t i = 0; i < gpu.size(); i += 4) {
          Drop4(dropout, first + static_cast<std::int64_t>(i), gpu.data() + i);
        }
        EXPECT_EQ(gpu, cpu) << rate << " " << slot << " " << first;
      }
    }
  }
}

TEST(CudaTokenOrderTest, HasEachTokensRowsInOrderAndTheLastTokenOfASampleIsNoRow) {
  TokenOrder order;
  order.Reserve(6);
  const std::vector<std::int32_t> tokens = {5, 2, 5, 9, /**/ 2, 5, 0, 5};
  for (int again = 0; again < 2; ++again) {
    order.Sort(tokens.data(), 2, 3);
    EXPECT_EQ(order.words(), (std::vector<std::int32_t>{0, 2, 5}));
    EXPECT_EQ(order.starts(), (std::vector<std::int32_t>{0, 1, 3, 6}));
    EXPECT_EQ(order.rows(), (std::vector<std::int32_t>{5, 1, 3, 0, 2, 4}));
  }
}

}  // namespace
}  // namespace muster::cuda
