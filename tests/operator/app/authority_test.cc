// Authorities over years, and their Secret on the API-server double.
#include "operator/app/authority.h"

#include <gtest/gtest.h>

#include "tests/kube/api_double.h"
#include "tests/kube/transport.h"

namespace muster::app {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

const base::WallTime kBegin = base::WallTime(hours(24 * 365 * 56));
const AuthorityPolicy kPolicy;

std::size_t CountCertificates(const std::string& bundle) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = bundle.find("BEGIN CERTIFICATE", at)) != std::string::npos; ++at) {
    ++count;
  }
  return count;
}

TEST(AuthorityTest, TheFirstSignsAtOnceAndANewOneOnlyAfterItHasSpread) {
  Authorities authorities;
  ASSERT_TRUE(*authorities.Advance(kPolicy, kBegin));
  const std::string first = authorities.Signer(kPolicy, kBegin).certificate_pem;
  EXPECT_FALSE(*authorities.Advance(kPolicy, kBegin + kPolicy.life / 2));
  const base::WallTime renewed = kBegin + kPolicy.life * 2 / 3 + hours(1);
  ASSERT_TRUE(*authorities.Advance(kPolicy, renewed));
  EXPECT_EQ(authorities.size(), 2u);
  EXPECT_EQ(authorities.Signer(kPolicy, renewed).certificate_pem, first);
  EXPECT_EQ(CountCertificates(*authorities.Bundle(renewed)), 2u);
  const base::WallTime spread = renewed + kPolicy.spread + minutes(1);
  EXPECT_NE(authorities.Signer(kPolicy, spread).certificate_pem, first);
  EXPECT_FALSE(*authorities.Advance(kPolicy, spread));
}

TEST(AuthorityTest, AnOldOneIsBelievedToItsEndAndThenForgotten) {
  Authorities authorities;
  ASSERT_TRUE(*authorities.Advance(kPolicy, kBegin));
  ASSERT_TRUE(*authorities.Advance(kPolicy, kBegin + kPolicy.life * 3 / 4));
  const base::WallTime over = kBegin + kPolicy.life + hours(1);
  EXPECT_TRUE(*authorities.Advance(kPolicy, over));
  EXPECT_EQ(authorities.size(), 1u);
  EXPECT_EQ(CountCertificates(*authorities.Bundle(over)), 1u);
}

// What a member signed by either shows is believed all the time of a rotation.
TEST(AuthorityTest, LeavesOfBothAreBelievedThroughARotation) {
  Authorities authorities;
  ASSERT_TRUE(*authorities.Advance(kPolicy, kBegin));
  const api::JobMember who{"uid-1", {0, 1}};
  const auto request = runtime::MakeRequest();
  ASSERT_TRUE(request.ok());
  base::WallTime now = kBegin + kPolicy.life * 2 / 3 - hours(2);
  std::string leaf;
  for (int step = 0; step < 96; ++step, now += hours(1)) {
    ASSERT_TRUE(authorities.Advance(kPolicy, now).ok());
    const auto bundle = authorities.Bundle(now);
    if (step % 12 == 0) {
      const auto made = runtime::SignMember(authorities.Signer(kPolicy, now), request->request_pem,
                                            who, runtime::ValidFor(now, runtime::kLeafLife));
      ASSERT_TRUE(made.ok()) << made.status();
      leaf = *made;
    }
    const absl::Status believed = runtime::Verify(leaf, *bundle, runtime::Purpose::kClient, now);
    ASSERT_TRUE(believed.ok()) << step << " " << believed;
  }
  EXPECT_EQ(authorities.size(), 2u);
}

TEST(AuthorityTest, WhatIsStoredIsReadBackAndNonsenseIsRefused) {
  Authorities authorities;
  ASSERT_TRUE(*authorities.Advance(kPolicy, kBegin));
  auto data = authorities.Data();
  const auto parsed = Authorities::Parse(data);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->Data(), data);
  Authorities other;
  ASSERT_TRUE(*other.Advance(kPolicy, kBegin));
  data["0.key"] = other.Data()["0.key"];
  EXPECT_FALSE(Authorities::Parse(data).ok());
  data["0.crt"] = "nonsense";
  EXPECT_FALSE(Authorities::Parse(data).ok());
}

class AuthoritySecretTest : public testing::Test {
 protected:
  AuthoritySecretTest() {
    api_.Ask("POST", "/api/v1/namespaces", {{"metadata", {{"name", "muster-system"}}}});
  }
  absl::StatusOr<Authorities> Load(base::WallTime now) {
    return LoadAuthorities(client_, "muster-system", kPolicy, now);
  }
  runtime::ManualClock clock_;
  kubetest::ApiDouble api_{{}, clock_};
  kubetest::DoubleTransport transport_{api_};
  kube::Client client_{transport_};
};

TEST_F(AuthoritySecretTest, TheFirstLeaderMakesItAndTheNextFindsIt) {
  const auto first = Load(kBegin);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = Load(kBegin + hours(1));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->Data(), second->Data());
  EXPECT_EQ(api_.Writes().size(), 1u);
}

TEST_F(AuthoritySecretTest, ARotationIsStoredBeforeItIsUsed) {
  ASSERT_TRUE(Load(kBegin).ok());
  const base::WallTime later = kBegin + kPolicy.life * 3 / 4;
  const auto rotated = Load(later);
  ASSERT_TRUE(rotated.ok()) << rotated.status();
  EXPECT_EQ(rotated->size(), 2u);
  EXPECT_EQ(Load(later)->Data(), rotated->Data());
  EXPECT_EQ(api_.Writes().size(), 2u);
}

TEST_F(AuthoritySecretTest, TwoWhoMakeItAtOnceEndWithOne) {
  api_.AddFault({.verb = "create", .nth = 1, .action = kubetest::AnswerWith{409}});
  EXPECT_EQ(Load(kBegin).status().code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(Load(kBegin).ok());
}

}  // namespace
}  // namespace muster::app
