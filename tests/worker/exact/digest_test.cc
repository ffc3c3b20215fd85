// The digest: additive over any split, sensitive to every bit and place, and as the formula says.

#include "worker/exact/digest.h"

#include <gtest/gtest.h>

#include <bit>
#include <vector>

#include "operator/base/rng.h"
#include "worker/exact/fixed_point.h"

namespace muster::exact {
namespace {

std::vector<float> RandomValues(std::size_t n) {
  base::SplitMix rng(3);
  std::vector<float> v(n);
  for (float& x : v) x = static_cast<float>(rng.Uniform() - 0.5);
  return v;
}

TEST(DigestTest, PartsAddUpWhereverTheyAreCut) {
  const std::vector<float> v = RandomValues(1000);
  const std::uint64_t whole = DigestFold(v, 0, kMomentStream);
  for (std::size_t cut : {0, 1, 63, 500, 999, 1000}) {
    EXPECT_EQ(whole, DigestFold(std::span(v).first(cut), 0, kMomentStream) +
                         DigestFold(std::span(v).subspan(cut), cut, kMomentStream));
  }
}

TEST(DigestTest, EveryBitPlaceAndStreamCounts) {
  std::vector<float> v = RandomValues(100);
  const std::uint64_t whole = DigestFold(v, 0, 0);
  EXPECT_NE(whole, DigestFold(v, 0, 1));
  EXPECT_NE(whole, DigestFold(v, 1, 0));
  EXPECT_NE(whole, DigestFold(v, std::uint64_t{1} << 32, 0));
  for (int bit = 0; bit < 32; ++bit) {
    const float old = v[42];
    v[42] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(old) ^ (1u << bit));
    EXPECT_NE(whole, DigestFold(v, 0, 0)) << bit;
    v[42] = old;
  }
  std::swap(v[7], v[8]);
  EXPECT_NE(whole, DigestFold(v, 0, 0));
  // -0 and +0 are different states.
  EXPECT_NE(DigestFold(std::vector{0.0f}, 0, 0), DigestFold(std::vector{-0.0f}, 0, 0));
}

// Numbers from the header's formula, recomputed with Python integers.
TEST(DigestTest, AgreesWithTheWrittenFormula) {
  const std::vector<float> v = {1.0f, -2.5f, 0.0f};
  EXPECT_EQ(DigestHex(DigestFold(v, 0, kWeightsStream)), "2209ae421464d75e");
  EXPECT_EQ(DigestHex(DigestFold(v, (std::uint64_t{1} << 32) - 1, kVarianceStream)),
            "f32ab287921ef514");
  EXPECT_EQ(DigestHex(CombineDigest(1, 2, 3, std::vector{-7, 4}, 12, 11)), "7d6deb7e857bfa05");
}

TEST(DigestTest, CombinationCoversEveryPart) {
  const std::vector<std::int32_t> e = {1, 2};
  const std::uint64_t d = CombineDigest(1, 2, 3, e, 4, 5);
  EXPECT_NE(d, CombineDigest(2, 1, 3, e, 4, 5));
  EXPECT_NE(d, CombineDigest(1, 2, 4, e, 4, 5));
  EXPECT_NE(d, CombineDigest(1, 2, 3, std::vector{2, 1}, 4, 5));
  EXPECT_NE(d, CombineDigest(1, 2, 3, {}, 4, 5));
  EXPECT_NE(d, CombineDigest(1, 2, 3, e, 5, 5));
  EXPECT_NE(d, CombineDigest(1, 2, 3, e, 4, 4));
}

TEST(DigestTest, HexHasSixteenDigits) {
  EXPECT_EQ(DigestHex(0), "0000000000000000");
  EXPECT_EQ(DigestHex(0x0123456789abcdefULL), "0123456789abcdef");
}

}  // namespace
}  // namespace muster::exact
