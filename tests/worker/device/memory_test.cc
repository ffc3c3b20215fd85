#include "worker/device/memory.h"

#include <gtest/gtest.h>

namespace muster::device {
namespace {

TEST(MemoryTest, BytesOfAParameter) {
  const DeviceBytes exact64 = CountDeviceBytes(1000, api::Reduction::kExact64, 77);
  EXPECT_EQ(exact64.state, 12000);
  EXPECT_EQ(exact64.sum, 8000);
  EXPECT_EQ(exact64.reduced, 8000);
  EXPECT_EQ(exact64.slot, 77);
  for (const auto reduction : {api::Reduction::kExact32, api::Reduction::kFloat}) {
    const DeviceBytes narrow = CountDeviceBytes(1000, reduction, 77);
    EXPECT_EQ(narrow.state + narrow.sum + narrow.reduced, 20000);
  }
}

TEST(MemoryTest, TheTotalIsTheSumOfItsParts) {
  const DeviceBytes bytes = CountDeviceBytes(1000, api::Reduction::kExact64, 500);
  EXPECT_EQ(bytes.reserved, std::int64_t{1} << 30);
  EXPECT_EQ(bytes.total(), 28000 + 500 + (std::int64_t{1} << 30));
}

TEST(MemoryTest, TheHostHasTheStateForTheTimeAndTheRingsSumsForGood) {
  EXPECT_EQ(CountHostBytes(1000, api::Reduction::kExact64, false), 12000);
  EXPECT_EQ(CountHostBytes(1000, api::Reduction::kExact64, true), 28000);
  EXPECT_EQ(CountHostBytes(1000, api::Reduction::kExact32, true), 20000);
  EXPECT_EQ(CountHostBytes(1000, api::Reduction::kFloat, false), 12000);
}

}  // namespace
}  // namespace muster::device
