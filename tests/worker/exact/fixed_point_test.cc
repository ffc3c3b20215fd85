// The arithmetic of E4 and E5, with numbers worked out by hand.

#include "worker/exact/fixed_point.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "operator/base/rng.h"
#include "worker/exact/loss.h"

namespace muster::exact {
namespace {

std::int64_t One64(float g, std::int32_t slots, QuantiseFlags* flags = nullptr) {
  std::vector<std::int64_t> sum = {0};
  const auto f = KernelsFor("scalar").quantise_add64(std::vector{g}, sum, 0, Limit64(slots));
  if (flags != nullptr) *flags = f;
  return sum[0];
}

TEST(Exact64Test, RoundsToNearestEven) {
  EXPECT_EQ(One64(0x1p-44f, 64), 1);
  EXPECT_EQ(One64(0x1p-45f, 64), 0);
  EXPECT_EQ(One64(0x3p-45f, 64), 2);
  EXPECT_EQ(One64(0x5p-45f, 64), 2);
  EXPECT_EQ(One64(-0x3p-45f, 64), -2);
  EXPECT_EQ(One64(1.0f, 64), std::int64_t{1} << 44);
  EXPECT_EQ(One64(-0.0f, 64), 0);
}

TEST(Exact64Test, LimitKeepsTheSumOfAllSlotsInside) {
  EXPECT_EQ(Limit64(64), (std::int64_t{1} << 57) - 1);
  EXPECT_EQ(Limit64(1), std::numeric_limits<std::int64_t>::max());
  for (std::int32_t slots : {1, 2, 3, 64, 1000, 1024}) {
    QuantiseFlags flags;
    EXPECT_EQ(One64(std::numeric_limits<float>::max(), slots, &flags), Limit64(slots));
    EXPECT_TRUE(flags.saturated);
    EXPECT_FALSE(flags.not_finite);
    EXPECT_EQ(One64(-std::numeric_limits<float>::max(), slots, &flags), -Limit64(slots));
    EXPECT_LE(static_cast<__int128>(Limit64(slots)) * slots,
              static_cast<__int128>(std::numeric_limits<std::int64_t>::max()));
  }
  QuantiseFlags flags;
  EXPECT_EQ(One64(0x1p13f, 64, &flags), (std::int64_t{1} << 57) - 1);
  EXPECT_TRUE(flags.saturated);
  EXPECT_EQ(One64(0x1.fffffep12f, 64, &flags), std::int64_t{0xffffff} << 33);
  EXPECT_FALSE(flags.saturated);
}

TEST(Exact64Test, NotFiniteBecomesZeroAndRaisesItsFlagAlone) {
  const float inf = std::numeric_limits<float>::infinity();
  for (float g : {inf, -inf, std::numeric_limits<float>::quiet_NaN()}) {
    QuantiseFlags flags;
    EXPECT_EQ(One64(g, 64, &flags), 0);
    EXPECT_EQ(flags, (QuantiseFlags{true, false, 0}));
  }
}

TEST(Exact64Test, SumsAndChecksumsDoNotDependOnOrderOrGrouping) {
  constexpr std::int32_t kSlots = 16;
  constexpr std::size_t kSize = 1000;
  const Kernels& k = *SupportedKernels().back();
  std::vector<std::vector<float>> gradients(kSlots, std::vector<float>(kSize));
  base::SplitMix rng(7);
  for (auto& g : gradients) {
    for (float& x : g)
      x = std::ldexp(static_cast<float>(rng.Uniform() - 0.5), 3 - int(rng.Below(30)));
  }
  const auto sum_in = [&](std::size_t stride, std::size_t cut) {
    std::vector<std::int64_t> sum(kSize, 0);
    std::uint64_t checksum = 0;
    for (std::size_t s = 0; s < kSlots; ++s) {
      const std::span<const float> g = gradients[s * stride % kSlots];
      for (auto [from, n] : {std::pair{std::size_t{0}, cut}, std::pair{cut, kSize - cut}}) {
        checksum += k.quantise_add64(g.subspan(from, n), std::span(sum).subspan(from, n),
                                     100 + from, Limit64(kSlots))
                        .checksum;
      }
    }
    EXPECT_EQ(checksum, k.checksum64(sum, 100));
    return sum;
  };
  const auto first = sum_in(1, kSize);
  EXPECT_EQ(first, sum_in(3, 17));
  EXPECT_EQ(first, sum_in(15, 512));
  auto damaged = first;
  const std::uint64_t good = k.checksum64(first, 100);
  for (int bit = 0; bit < 64; ++bit) {
    damaged[123] =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(first[123]) ^ (1ull << bit));
    EXPECT_NE(k.checksum64(damaged, 100), good) << bit;
  }
  damaged = first;
  std::swap(damaged[4], damaged[5]);
  EXPECT_NE(k.checksum64(damaged, 100), good);
}

TEST(Exact64Test, DequantiseGivesTheMeanOverSlots) {
  std::vector<std::int64_t> sum = {std::int64_t{3} << 44, -(std::int64_t{1} << 43), 0};
  std::vector<float> out(3);
  KernelsFor("scalar").dequantise64(sum, Factor64(4), out);
  EXPECT_EQ(out, (std::vector<float>{0.75f, -0.125f, 0.0f}));
}

TEST(Exact32Test, ExponentIsTheLeastPowerAbove) {
  EXPECT_EQ(ExponentFor(1.0f), 1);
  EXPECT_EQ(ExponentFor(0x1.fffffep-1f), 0);
  EXPECT_EQ(ExponentFor(0.25f), -1);
  EXPECT_EQ(ExponentFor(0.0f), kMinExponent);
  EXPECT_EQ(ExponentFor(0x1p-60f), kMinExponent);
  EXPECT_EQ(ExponentFor(std::numeric_limits<float>::max()), 128);
  EXPECT_EQ(ExponentFor(std::numeric_limits<float>::infinity()), kMaxExponent);
}

TEST(Exact32Test, OwnMaximumNeverSaturatesAndTheSpareBitHoldsOneDoubling) {
  const Kernels& k = *SupportedKernels().back();
  for (std::int32_t slots : {1, 2, 3, 5, 64, 65, 1000}) {
    for (float max : {1.0f, 0x1.fffffep-1f, 3e-7f, 0x1.fffffep127f, 1e-20f}) {
      const std::vector<float> g = {max, -max};
      std::vector<std::int32_t> sum = {0, 0};
      EXPECT_FALSE(k.quantise_add32(g, sum, 0, ExponentFor(max), slots).saturated)
          << slots << " " << max;
      EXPECT_EQ(sum[0], -sum[1]);
      EXPECT_LE(std::int64_t{sum[0]} * slots, std::numeric_limits<std::int32_t>::max());
    }
    std::vector<std::int32_t> sum = {0, 0};
    EXPECT_FALSE(k.quantise_add32(std::vector{0.99f, 1.9f}, sum, 0, 1, slots).saturated);
    EXPECT_TRUE(k.quantise_add32(std::vector{0.5f, 8.1f}, sum, 0, 1, slots).saturated);
  }
}

TEST(Exact32Test, ScaleFollowsTheHeadroomOfM) {
  // M = 64: 30 - 6 = 24 bits below the exponent.
  std::vector<std::int32_t> sum = {5};
  KernelsFor("scalar").quantise_add32(std::vector{0.5f}, sum, 0, 0, 64);
  EXPECT_EQ(sum[0], 5 + (1 << 23));
  std::vector<float> out(1);
  sum[0] = 64 << 23;
  KernelsFor("scalar").dequantise32(sum, Factor32(0, 64), out);
  EXPECT_EQ(out[0], 0.5f);
}

TEST(Exact32Test, MaximaOrderAsIntegers) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Kernels& k = *SupportedKernels().back();
  EXPECT_EQ(k.max_abs(std::vector{0.5f, -2.0f, 1.0f}), 2.0f);
  EXPECT_EQ(k.max_abs(std::vector<float>{}), 0.0f);
  EXPECT_EQ(k.max_abs(std::vector{-inf, 3.0f}), inf);
  EXPECT_TRUE(std::isnan(k.max_abs(std::vector{nan, inf})));
  EXPECT_LT(MaxAbsBits(1e-40f), MaxAbsBits(1e-3f));
  EXPECT_LT(MaxAbsBits(std::numeric_limits<float>::max()), MaxAbsBits(inf));
  EXPECT_EQ(MaxAbsFromBits(MaxAbsBits(0.3f)), 0.3f);
}

TEST(KernelsForTest, FamiliesMapToTables) {
  EXPECT_STREQ(KernelsFor("scalar").name, "scalar");
  EXPECT_STREQ(KernelsFor("Prescott").name, "scalar");
  if (SupportedKernels().size() > 1) {
    EXPECT_STREQ(KernelsFor("Haswell").name, "avx2");
  }
  if (SupportedKernels().size() > 2) {
    EXPECT_STREQ(KernelsFor("SkylakeX").name, "avx512");
  }
}

TEST(LossTest, RoundTripsAndHoldsWhatIsNotANumber) {
  EXPECT_EQ(QuantiseLoss(1.5, 64), std::int64_t{3} << 29);
  EXPECT_EQ(DequantiseLoss(QuantiseLoss(705.25, 64)), 705.25);
  EXPECT_NEAR(DequantiseLoss(QuantiseLoss(0.1, 64)), 0.1, 1e-9);
  EXPECT_EQ(QuantiseLoss(std::numeric_limits<double>::quiet_NaN(), 64), 0);
  EXPECT_EQ(QuantiseLoss(std::numeric_limits<double>::infinity(), 64), 0);
  EXPECT_EQ(DequantiseLoss(QuantiseLoss(1e300, 64)), 0x1p22);
}

// The manifest allows 65,536 slots, and every one of them may be at the bound.
TEST(LossTest, AsManySumsAsWereSaidFitInto64Bits) {
  for (std::int64_t terms : {1, 64, 2048, 2049, 65536}) {
    for (double nats : {1e300, -1e300}) {
      std::int64_t product = 0;
      EXPECT_FALSE(__builtin_mul_overflow(QuantiseLoss(nats, terms), terms, &product))
          << terms << " times " << nats;
    }
  }
}

}  // namespace
}  // namespace muster::exact
