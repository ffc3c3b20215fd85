// Rates of collectives under the Inspector's names and labels.
#include "worker/app/collective_rates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::app {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

base::Time At(int seconds) { return base::Time(std::chrono::seconds(seconds)); }

TEST(CollectiveRatesTest, RangesAreOneUnitWide) {
  const std::pair<std::int64_t, const char*> cases[] = {
      {0, "0B"},
      {1, "1-2B"},
      {1023, "1023-1024B"},
      {1024, "1-2KB"},
      {1536, "1-2KB"},
      {std::int64_t{134} << 20, "134-135MB"},
      {(std::int64_t{1} << 30) - 1, "1023-1024MB"},
      {std::int64_t{6} << 30, "6-7GB"},
      {std::int64_t{5000} << 40, "5000-5001TB"},
  };
  for (const auto& [bytes, range] : cases) EXPECT_EQ(MessageSizeRange(bytes), range);
}

TEST(CollectiveRatesTest, BusBandwidthOfAnAllReduce) {
  EXPECT_DOUBLE_EQ(BusBandwidth(4'000'000'000, 2, 4), 3.0);
  EXPECT_DOUBLE_EQ(BusBandwidth(1'000'000'000, 1, 2), 1.0);
  EXPECT_EQ(BusBandwidth(1'000'000'000, 1, 1), 0) << "alone there is no bus";
  EXPECT_EQ(BusBandwidth(1, 0, 2), 0);
}

TEST(CollectiveRatesTest, TellsMeansOfAWindowBySizeAndCarrier) {
  CollectiveRates rates;
  EXPECT_THAT(rates.Collect(At(0)), IsEmpty());
  rates.Begin(At(0), "licences", 2, 4);
  rates.Add(At(1), 4'000'000, 0.001, "unknown");  // 6 GB/s
  rates.Add(At(2), 4'000'001, 0.004, "unknown");  // 1.5
  rates.Add(At(2), 2048, 0.001, "RING_TCP");
  const auto families = rates.Collect(At(3));
  ASSERT_THAT(families, SizeIs(2));
  EXPECT_EQ(families[0].name, "nccl_bus_bandwidth_gbs");
  ASSERT_THAT(families[0].samples, SizeIs(2));
  const runtime::Sample& large = families[0].samples[1];
  EXPECT_EQ(large.labels, (runtime::Labels{{"comm_name", "licences"},
                                           {"n_nodes", "2"},
                                           {"nranks", "4"},
                                           {"collective", "AllReduce"},
                                           {"message_size", "3-4MB"},
                                           {"algo_proto", "unknown"}}));
  EXPECT_NEAR(large.value, 3.0, 1e-6) << "the geometric mean";
  EXPECT_EQ(families[1].name, "nccl_collective_exec_time_microseconds");
  EXPECT_NEAR(families[1].samples[1].value, 2500, 1e-6);
}

TEST(CollectiveRatesTest, AWholeWindowIsToldUntilTheNextOneIsWhole) {
  CollectiveRates rates;
  rates.Begin(At(0), "j", 1, 2);
  rates.Add(At(1), 1'000'000'000, 1, "unknown");
  rates.Add(At(31), 2'000'000'000, 1, "unknown");
  ASSERT_THAT(rates.Collect(At(32)), SizeIs(2));
  EXPECT_DOUBLE_EQ(rates.Collect(At(32))[0].samples[0].value, 1.0);
  rates.Add(At(61), 2'000'000'000, 1, "unknown");
  EXPECT_DOUBLE_EQ(rates.Collect(At(62))[0].samples[0].value, 2.0);
  EXPECT_THAT(rates.Collect(At(121)), IsEmpty()) << "nothing for two windows";
}

TEST(CollectiveRatesTest, AnotherViewForgets) {
  CollectiveRates rates;
  rates.Begin(At(0), "j", 1, 2);
  rates.Add(At(1), 1000, 1, "RING_TCP");
  rates.Begin(At(2), "j", 1, 3);
  EXPECT_THAT(rates.Collect(At(2)), IsEmpty());
  rates.Begin(At(3), "j", 1, 1);
  rates.Add(At(4), 1000, 1, "RING_TCP");
  EXPECT_THAT(rates.Collect(At(4)), IsEmpty());
}

}  // namespace
}  // namespace muster::app
