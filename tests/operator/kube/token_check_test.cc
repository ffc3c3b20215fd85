// Whose token it is, in tables: each claim that is not the pod's own is refused by what differs.
#include "operator/kube/token_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::kube {
namespace {

using testing::HasSubstr;

TokenReview Good() {
  TokenReview review;
  review.authenticated = true;
  review.username = "system:serviceaccount:team:default";
  review.audiences = {"muster"};
  review.extra = {{"authentication.kubernetes.io/pod-name", {"job-0-x"}},
                  {"authentication.kubernetes.io/pod-uid", {"pod-uid"}}};
  return review;
}

PodRecord Pod() {
  PodRecord pod;
  pod.pod.name = "job-0-x";
  pod.pod.uid = "pod-uid";
  pod.pod.member = {0, 2};
  pod.controller_uid = "job-uid";
  return pod;
}

const TokenPod kToken{{"team", "job-0-x"}, "pod-uid"};
const MemberClaim kClaim{"job-uid", {0, 2}};

TEST(TokenCheckTest, ATokenOfAPodForOurAudienceNamesIt) {
  const auto pod = PodOfToken(Good(), "muster");
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(*pod, kToken);
  const PodRecord record = Pod();
  EXPECT_TRUE(CheckClaim(*pod, &record, kClaim).ok());
}

TEST(TokenCheckTest, OtherTokensAreRefusedBySentence) {
  struct Row {
    void (*change)(TokenReview&);
    const char* said;
  };
  const Row rows[] = {
      {[](TokenReview& r) {
         r.authenticated = false;
         r.error = "token has expired";
       },
       "token has expired"},
      {[](TokenReview& r) { r.audiences = {"vault"}; }, "not for the audience muster"},
      {[](TokenReview& r) { r.audiences.clear(); }, "not for the audience muster"},
      {[](TokenReview& r) { r.username = "alice"; }, "not a service account's but alice's"},
      {[](TokenReview& r) { r.extra.erase("authentication.kubernetes.io/pod-uid"); },
       "bound to no pod"},
      {[](TokenReview& r) { r.extra["authentication.kubernetes.io/pod-name"] = {"a", "b"}; },
       "bound to no pod"},
  };
  for (const Row& row : rows) {
    TokenReview review = Good();
    row.change(review);
    const auto pod = PodOfToken(review, "muster");
    ASSERT_FALSE(pod.ok()) << row.said;
    EXPECT_EQ(pod.status().code(), absl::StatusCode::kUnauthenticated);
    EXPECT_THAT(base::Message(pod.status()), HasSubstr(row.said));
  }
}

TEST(TokenCheckTest, AClaimThatIsNotThePodsOwnIsRefusedByWhatDiffers) {
  struct Row {
    void (*change)(PodRecord&);
    const char* said;
    absl::StatusCode code = absl::StatusCode::kPermissionDenied;
  };
  const Row rows[] = {
      // The member comes again, and the cache knows better then.
      {[](PodRecord& p) { p.pod.uid = "newer"; }, "has uid newer, the token is that of pod-uid",
       absl::StatusCode::kUnavailable},
      {[](PodRecord& p) { p.controller_uid = "other"; }, "job with uid other, not to job-uid"},
      {[](PodRecord& p) { p.controller_uid.clear(); }, "not to job-uid"},
      {[](PodRecord& p) { p.pod.member = {0, 3}; }, "is member 0.3, not 0.2"},
  };
  for (const Row& row : rows) {
    PodRecord pod = Pod();
    row.change(pod);
    const absl::Status refused = CheckClaim(kToken, &pod, kClaim);
    EXPECT_EQ(refused.code(), row.code) << row.said;
    EXPECT_THAT(base::Message(refused), HasSubstr(row.said));
  }
  const absl::Status unknown = CheckClaim(kToken, nullptr, kClaim);
  EXPECT_EQ(unknown.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(base::Message(unknown), HasSubstr("is not known as a worker yet"));
}

TEST(TokenCheckTest, ATokenIsGoodForEachProcessOfItsPodAndForNoOther) {
  PodRecord pod = Pod();
  pod.processes = 4;
  for (const base::MemberId own : {base::MemberId{0, 2000}, {3, 2000}, {1, 2017}}) {
    EXPECT_TRUE(CheckClaim(kToken, &pod, {"job-uid", own}).ok()) << base::ToString(own);
  }
  for (const base::MemberId other : {base::MemberId{0, 2}, {4, 2000}, {0, 1999}, {0, 3000}}) {
    const absl::Status refused = CheckClaim(kToken, &pod, {"job-uid", other});
    EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(base::Message(refused),
                HasSubstr("has the members of 0.2, not " + base::ToString(other)));
  }
}

}  // namespace
}  // namespace muster::kube
