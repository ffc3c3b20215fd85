#include "operator/base/text.h"

#include <gtest/gtest.h>

#include <limits>

namespace muster::base {
namespace {

TEST(TextTest, PadsHexesAndFixes) {
  EXPECT_EQ(Padded(7, 3), "007");
  EXPECT_EQ(Padded(1234, 2), "1234");
  EXPECT_EQ(Padded(-7, 3), "-007");
  EXPECT_EQ(Padded(std::numeric_limits<std::int64_t>::min(), 1), "-9223372036854775808");
  EXPECT_EQ(Hex64(0), "0000000000000000");
  EXPECT_EQ(Hex64(0xdeadbeef01234567ULL), "deadbeef01234567");
  EXPECT_EQ(Fixed2(1.5), "1.50");
  EXPECT_EQ(Fixed2(1.996), "2.00");
  EXPECT_EQ(Fixed2(-0.125), "-0.13");
}

}  // namespace
}  // namespace muster::base
