#include "operator/base/rng.h"

#include <gtest/gtest.h>

namespace muster::base {
namespace {

// Known answers of the Random123 distribution (kat_vectors, philox4x32 with 10 rounds).
TEST(PhiloxTest, MatchesTheKnownAnswers) {
  EXPECT_EQ(Philox(0, 0, 0),
            (std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox(~0ULL, ~0ULL, ~0ULL),
            (std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

// First outputs of SplitMix64 from state 0, as published with the generator.
TEST(SplitMixTest, MatchesTheKnownAnswers) {
  SplitMix g(0);
  EXPECT_EQ(g.Next(), 0xe220a8397b1dcdafULL);
  EXPECT_EQ(g.Next(), 0x6e789e6aa1b965f4ULL);
  EXPECT_EQ(g.Next(), 0x06c45d188009454fULL);
}

TEST(SplitMixTest, UniformStaysBelowOne) {
  SplitMix g(7);
  for (int i = 0; i < 1000; ++i) {
    const double u = g.Uniform();
    EXPECT_GE(u, 0.0);
    EXPECT_LT(u, 1.0);
    EXPECT_LT(g.Below(10), 10u);
  }
}

}  // namespace
}  // namespace muster::base
