// E1: each sample once a data epoch, in an order that only the seed and the data epoch decide.
#include "worker/data/order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace muster::data {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAreArray;

std::vector<std::uint64_t> Order(std::uint64_t seed, std::uint64_t epoch, std::uint64_t n) {
  std::vector<std::uint64_t> ids;
  for (std::uint64_t i = 0; i < n; ++i) ids.push_back(Permute(seed, epoch, i, n));
  return ids;
}

TEST(PermuteTest, IsABijectionForEverySmallSize) {
  for (std::uint64_t n = 1; n <= 300; ++n) {
    const std::vector<std::uint64_t> ids = Order(7, 3, n);
    const std::set<std::uint64_t> distinct(ids.begin(), ids.end());
    ASSERT_EQ(distinct.size(), n);
    ASSERT_EQ(*distinct.rbegin(), n - 1);
  }
}

TEST(PermuteTest, IsABijectionAroundPowersOfTwo) {
  for (std::uint64_t n : {4095u, 4096u, 4097u, 16384u, 65535u, 65537u, 200001u}) {
    std::vector<bool> seen(n);
    for (std::uint64_t i = 0; i < n; ++i) {
      const std::uint64_t id = Permute(1, 0, i, n);
      ASSERT_LT(id, n);
      ASSERT_FALSE(seen[id]) << "n = " << n << ", id " << id << " comes twice";
      seen[id] = true;
    }
  }
}

TEST(PermuteTest, ServesSizesBeyond32Bits) {
  constexpr std::uint64_t kHuge = (std::uint64_t{1} << 62) + 12345;
  std::set<std::uint64_t> ids;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::uint64_t id = Permute(5, 1, kHuge - 1 - i, kHuge);
    EXPECT_LT(id, kHuge);
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_LT(Permute(5, 1, 0, ~std::uint64_t{0}), ~std::uint64_t{0});
}

TEST(PermuteTest, DataEpochsAndSeedsDiffer) {
  const std::vector<std::uint64_t> first = Order(1, 0, 1000);
  EXPECT_NE(first, Order(1, 1, 1000));
  EXPECT_NE(first, Order(2, 0, 1000));
  EXPECT_EQ(first, Order(1, 0, 1000));
}

// A shuffle that left neighbours together would hand a slot overlapping windows of one place.
TEST(PermuteTest, SpreadsNeighbours) {
  constexpr std::uint64_t kSize = 10000;
  const std::vector<std::uint64_t> ids = Order(1, 0, kSize);
  double distance = 0;
  int fixed_points = 0;
  for (std::uint64_t i = 0; i + 1 < kSize; ++i) {
    distance += std::abs(static_cast<double>(ids[i]) - static_cast<double>(ids[i + 1]));
    fixed_points += ids[i] == i;
  }
  // Two independent uniform positions are n / 3 apart on average.
  EXPECT_NEAR(distance / kSize, kSize / 3.0, kSize / 50.0);
  EXPECT_LT(fixed_points, 10);
}

// Golden: a change of these numbers changes what every running job reads next.
TEST(PermuteTest, GoldenOrder) {
  EXPECT_THAT(Order(1, 0, 8), ElementsAre(0, 3, 4, 2, 1, 5, 7, 6));
  EXPECT_THAT(Order(1, 1, 8), ElementsAre(4, 5, 7, 6, 2, 1, 0, 3));
  EXPECT_EQ(Permute(42, 7, 123456789, 1000000007), 964835655u);
}

TEST(SampleOrderTest, ADataEpochCoversEverySampleOnceAcrossStepsAndSlots) {
  const SampleOrder order{.seed = 9, .samples = 60, .slots = 4, .samples_per_slot = 3};
  std::vector<std::uint64_t> epoch;
  for (int step = 1; step <= 5; ++step) {
    for (int slot = 0; slot < 4; ++slot) {
      for (std::uint64_t id : order.SlotSamples(base::Step(step), slot)) epoch.push_back(id);
    }
  }
  std::vector<std::uint64_t> all;
  for (std::uint64_t i = 0; i < 60; ++i) all.push_back(i);
  EXPECT_THAT(epoch, UnorderedElementsAreArray(all));
  EXPECT_EQ(order.SlotSamples(base::Step(1), 0),
            (std::vector<std::uint64_t>{Permute(9, 0, 0, 60), Permute(9, 0, 1, 60),
                                        Permute(9, 0, 2, 60)}));
}

TEST(SampleOrderTest, ASlotMayCrossTheBorderOfTwoDataEpochs) {
  const SampleOrder order{.seed = 9, .samples = 10, .slots = 3, .samples_per_slot = 4};
  // Step 1, slot 2 is n = 8, 9, 10, 11.
  EXPECT_THAT(order.SlotSamples(base::Step(1), 2),
              ElementsAre(Permute(9, 0, 8, 10), Permute(9, 0, 9, 10), Permute(9, 1, 0, 10),
                          Permute(9, 1, 1, 10)));
}

TEST(SampleOrderTest, OneSampleIsReadForEver) {
  const SampleOrder order{.seed = 9, .samples = 1, .slots = 2, .samples_per_slot = 2};
  EXPECT_THAT(order.SlotSamples(base::Step(1000000), 1), ElementsAre(0, 0));
}

}  // namespace
}  // namespace muster::data
