#include "operator/base/ids.h"

#include <gtest/gtest.h>

namespace muster::base {
namespace {

TEST(MemberIdTest, RoundTrips) {
  for (MemberId id : {MemberId{0, 0}, MemberId{3, 2}, MemberId{2147483647, 12}}) {
    auto back = ParseMemberId(ToString(id));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, id);
  }
}

TEST(MemberIdTest, RefusesWhatIsNotTwoNumbers) {
  for (const char* bad : {"", ".", "3", "3.", ".2", "3.2.1", "-1.2", "3.-2", "a.b", "3 .2",
                          "99999999999.1", "+1.2"}) {
    const auto id = ParseMemberId(bad);
    ASSERT_FALSE(id.ok()) << bad;
    EXPECT_NE(Message(id.status()).find("ORDINAL.INCARNATION"), std::string::npos);
  }
}

}  // namespace
}  // namespace muster::base
