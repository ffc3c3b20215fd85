#include "operator/api/member_uri.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace muster::api {
namespace {

using ::testing::HasSubstr;

TEST(MemberUriTest, WrittenAndReadBack) {
  const JobMember who{"6f1c2b9e-8f4a-4a55-9d0e-3b1f0a9c7e21", {3, 2}};
  const auto uri = MemberUri(who);
  ASSERT_TRUE(uri.ok()) << uri.status();
  EXPECT_EQ(*uri, "muster://job/6f1c2b9e-8f4a-4a55-9d0e-3b1f0a9c7e21/member/3.2");
  const auto back = ParseMemberUri(*uri);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, who);
  EXPECT_EQ(ToString(who), "member 3.2 of job 6f1c2b9e-8f4a-4a55-9d0e-3b1f0a9c7e21");
}

TEST(MemberUriTest, UidThatWouldEndItsPartIsRefused) {
  for (const char* bad : {"", "a/member/1.0", "a b", "a\nb", "a%2f", "ä"}) {
    EXPECT_EQ(MemberUri({bad, {}}).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_TRUE(MemberUri({std::string(128, 'a'), {}}).ok());
  EXPECT_THAT(base::Message(MemberUri({std::string(129, 'a'), {}}).status()),
              HasSubstr("1 to 128 letters"));
}

TEST(MemberUriTest, NothingElseIsRead) {
  for (const char* bad :
       {"", "muster://job/", "muster://job/u", "muster://job/u/member/", "muster://job//member/1.0",
        "muster://job/u/member/1", "muster://job/u/member/1.0/", "muster://job/u/member/1.0 ",
        "muster://job/u/member/01.0", "muster://job/u/member/-1.0", "muster://job/u/pod/1.0",
        "muster://job/u/v/member/1.0", "Muster://job/u/member/1.0", "https://job/u/member/1.0"}) {
    const auto got = ParseMemberUri(bad);
    EXPECT_FALSE(got.ok()) << bad;
    EXPECT_THAT(base::Message(got.status()), HasSubstr("is not muster://job/<uid>/member/"));
  }
}

}  // namespace
}  // namespace muster::api
