// Initial weights and dropout masks: distribution, independence of blocks, rate.
#include "worker/model/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace muster::model {
namespace {

TEST(RandomTest, NormalsHaveTheirMomentsAndDoNotDependOnBlocks) {
  std::vector<float> whole(200003), parts(whole.size());
  FillNormal(1, 2, 0, 2.0, whole);
  for (std::size_t at = 0; at < parts.size(); at += 1000) {
    FillNormal(1, 2, static_cast<std::int64_t>(at), 2.0,
               std::span(parts).subspan(at, std::min<std::size_t>(1000, parts.size() - at)));
  }
  EXPECT_EQ(whole, parts);
  double mean = 0, square = 0, fourth = 0;
  for (const double v : whole) {
    const double n = static_cast<double>(whole.size());
    mean += v / n;
    square += v * v / n;
    fourth += v * v * v * v / n;
  }
  EXPECT_NEAR(mean, 0, 0.02);
  EXPECT_NEAR(square, 4, 0.06);
  EXPECT_NEAR(fourth / (square * square), 3, 0.1);
}

TEST(RandomTest, DropoutDropsItsRateScalesTheRestAndIsTheSameInPieces) {
  const SlotRandom random({1, 2, 3}, 4);
  std::vector<float> whole(100001, 1.0f), parts = whole, backward(whole.size(), 3.0f);
  Dropout(random, 0.25, 0, whole);
  Dropout(random, 0.25, 0, backward);
  for (std::size_t at = 0; at < parts.size(); at += 777) {
    Dropout(random, 0.25, static_cast<std::int64_t>(at),
            std::span(parts).subspan(at, std::min<std::size_t>(777, parts.size() - at)));
  }
  EXPECT_EQ(whole, parts);
  std::size_t dropped = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    dropped += whole[i] == 0;
    EXPECT_TRUE(whole[i] == 0 || whole[i] == static_cast<float>(1.0 / 0.75));
    EXPECT_EQ(whole[i] == 0, backward[i] == 0);
  }
  EXPECT_NEAR(static_cast<double>(dropped) / static_cast<double>(whole.size()), 0.25, 0.01);
  std::vector<float> other(whole.size(), 1.0f);
  Dropout(SlotRandom({1, 2, 3}, 5), 0.25, 0, other);
  EXPECT_NE(other, whole) << "operations have masks of their own";
}

}  // namespace
}  // namespace muster::model
