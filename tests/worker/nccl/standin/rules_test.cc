#include "tests/worker/nccl/standin/rules.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "tests/worker/nccl/standin/device_bytes.h"
#include "tests/worker/nccl/standin/nccl.h"

namespace muster::standin {
namespace {

TEST(RulesTest, ReadsWhenToHang) {
  When when;
  ASSERT_TRUE(ReadWhen("2", &when));
  EXPECT_FALSE(when.Is(1, 0));
  EXPECT_TRUE(when.Is(2, 0));
  EXPECT_TRUE(when.Is(2, 5));
  EXPECT_FALSE(when.Is(3, 0));
  ASSERT_TRUE(ReadWhen("1@3", &when));
  EXPECT_FALSE(when.Is(1, 2));
  EXPECT_TRUE(when.Is(1, 3));
  for (const char* wrong : {"", "0", "-1", "x", "1@", "1@x", "1@-1", "@1", "1 ", "1@1@1"}) {
    EXPECT_FALSE(ReadWhen(wrong, &when)) << wrong;
  }
}

TEST(DeviceBytesTest, CopiesAndSpoilsExactlyWhatIsAskedFor) {
  for (std::size_t offset : {0, 3, 8}) {
    for (std::size_t bytes : {0, 1, 7, 8, 30}) {
      std::vector<char> device(64, 'd'), host(64);
      for (std::size_t i = 0; i < host.size(); ++i) host[i] = static_cast<char>(i);
      WriteDevice(host.data(), device.data() + offset, bytes);
      std::vector<char> want(64, 'd');
      std::memcpy(want.data() + offset, host.data(), bytes);
      EXPECT_EQ(device, want) << offset << " " << bytes;
      std::vector<char> back(64, 'b'), want_back(64, 'b');
      ReadDevice(device.data() + offset, back.data(), bytes);
      std::memcpy(want_back.data(), host.data(), bytes);
      EXPECT_EQ(back, want_back) << offset << " " << bytes;
      SpoilDevice(device.data() + offset, bytes);
      std::memset(want.data() + offset, kGarbage, bytes);
      EXPECT_EQ(device, want) << offset << " " << bytes;
    }
  }
}

template <typename T>
T Of(int op, int type, T into, T with) {
  EXPECT_TRUE(Combine(op, type, &with, &into, 1));
  return into;
}

TEST(DeviceBytesTest, CombinesAllTypes) {
  constexpr auto kLeast64 = std::numeric_limits<std::int64_t>::min();
  constexpr auto kMost64 = std::numeric_limits<std::int64_t>::max();
  constexpr auto kLeast32 = std::numeric_limits<std::int32_t>::min();
  constexpr auto kMost32 = std::numeric_limits<std::int32_t>::max();
  EXPECT_EQ(Of<std::int64_t>(kSum, kInt64, kMost64, 1), kLeast64) << "sums wrap";
  EXPECT_EQ(Of<std::int32_t>(kSum, kInt32, kMost32, 1), kLeast32);
  EXPECT_EQ(Of<float>(kSum, kFloat32, 1.5f, 2.0f), 3.5f);
  EXPECT_EQ(Of<std::int64_t>(kMax, kInt64, -5, -7), -5);
  EXPECT_EQ(Of<std::int32_t>(kMax, kInt32, -7, -5), -5);
  EXPECT_EQ(Of<float>(kMax, kFloat32, -0.5f, 0.25f), 0.25f);
  std::int32_t a = 1, b = 2;
  EXPECT_FALSE(Combine(3, kInt32, &b, &a, 1));
  EXPECT_FALSE(Combine(kSum, 9, &b, &a, 1));
  EXPECT_EQ(BytesOf(9), 0u);
}

}  // namespace
}  // namespace muster::standin
