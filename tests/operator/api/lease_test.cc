// A Lease as the API server reads and writes it.
#include "operator/api/lease.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::api {
namespace {

base::WallTime AtMicroseconds(std::int64_t us) {
  return base::WallTime(std::chrono::microseconds(us));
}

TEST(LeaseTest, IsWrittenWithSixDigitsOfASecond) {
  Lease lease{"me", "17", 5, 3, AtMicroseconds(1'000'000), AtMicroseconds(2'000'042), "u1"};
  EXPECT_EQ(LeaseToJson(lease, "space", "muster"),
            R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease",)"
            R"("metadata":{"namespace":"space","name":"muster","resourceVersion":"17","uid":"u1"},)"
            R"("spec":{"holderIdentity":"me","leaseDurationSeconds":5,)"
            R"("acquireTime":"1970-01-01T00:00:01.000000Z",)"
            R"("renewTime":"1970-01-01T00:00:02.000042Z","leaseTransitions":3}})");
  const auto read = ParseLease(LeaseToJson(lease, "space", "muster"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, lease);
}

TEST(LeaseTest, AReleasedOneHasNoHolderField) {
  const std::string json = LeaseToJson({"", "17", 1, 3}, "space", "muster");
  EXPECT_THAT(json, testing::Not(testing::HasSubstr("holderIdentity")));
  EXPECT_EQ(ParseLease(json)->holder, "");
}

TEST(LeaseTest, WhatAnotherClientLeftOutIsEmpty) {
  EXPECT_EQ(*ParseLease(R"({"metadata":{"resourceVersion":"1"}})"), (Lease{"", "1"}));
  EXPECT_EQ(*ParseLease(R"({"spec":{"holderIdentity":null}})"), Lease());
}

TEST(LeaseTest, WhatIsWrongIsNamed) {
  EXPECT_THAT(ParseLease("[").status().ToString(), testing::HasSubstr("not JSON"));
  EXPECT_THAT(ParseLease(R"({"spec":{"renewTime":"noon"}})").status().ToString(),
              testing::HasSubstr("lease.spec.renewTime: \"noon\" is not allowed"));
}

}  // namespace
}  // namespace muster::api
