// The yardstick: known distributions have known losses, and it never looks at the held-out part to
// fit.
#include "worker/data/trigram.h"

#include <gtest/gtest.h>

#include <cmath>

#include "operator/base/rng.h"
#include "tests/worker/data/token_files.h"

namespace muster::data {
namespace {

std::vector<std::uint8_t> Uniform(std::size_t count, std::uint8_t values, std::uint64_t seed) {
  base::SplitMix random(seed);
  std::vector<std::uint8_t> text;
  for (std::size_t i = 0; i < count; ++i) {
    text.push_back(static_cast<std::uint8_t>('a' + random.Below(values)));
  }
  return text;
}

TEST(TrigramTest, APeriodicTextCostsNothing) {
  std::vector<std::uint8_t> text;
  for (int i = 0; i < 9000; ++i) text.push_back(static_cast<std::uint8_t>("abcde"[i % 5]));
  EXPECT_LT(TrigramLoss(std::span(text).first(8000), std::span(text).last(1000)), 0.01);
}

TEST(TrigramTest, RandomLettersCostTheirEntropy) {
  const auto training = Uniform(200000, 8, 1);
  const auto held_out = Uniform(20000, 8, 2);
  EXPECT_NEAR(TrigramLoss(training, held_out), std::log(8.0), 0.01);
}

TEST(TrigramTest, BytesNeverSeenStillHaveAProbability) {
  const auto training = Uniform(1000, 2, 1);
  const std::vector<std::uint8_t> foreign(10, 'z');
  const double loss = TrigramLoss(training, foreign);
  EXPECT_TRUE(std::isfinite(loss));
  EXPECT_GT(loss, std::log(256.0));
}

TEST(TrigramTest, OnlyTextHasABaseline) {
  ScratchFolder folder;
  const auto text = Uniform(4000, 4, 3);
  folder.Write("t", std::string(text.begin(), text.end()));
  const auto as_text = Dataset::Open({.path = folder / "t"}, 4, 256);
  ASSERT_TRUE(as_text.ok()) << as_text.status();
  EXPECT_NEAR(BaselineLoss(**as_text), std::log(4.0), 0.05);
  EXPECT_EQ(BaselineLoss(**as_text),
            TrigramLoss(std::span(text).first(3600), std::span(text).last(400)));
  const auto as_tokens =
      Dataset::Open({.path = folder / "t", .format = api::DataFormat::kTokens16}, 4, 65536);
  ASSERT_TRUE(as_tokens.ok()) << as_tokens.status();
  EXPECT_EQ(BaselineLoss(**as_tokens), 0);
}

}  // namespace
}  // namespace muster::data
