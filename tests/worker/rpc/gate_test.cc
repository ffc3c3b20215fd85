// Members and the gate over TLS on the loopback interface: who gets in, who does not and what it is
// told, and certificates that are renewed while streams live.
#include "operator/rpc/gate.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/rpc/gate_ends.h"

namespace muster::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr base::MemberId kMember{3, 2};

std::string AddressOf(TestGate& gate) { return "127.0.0.1:" + std::to_string(gate->port()); }

TEST(GateTest, RightTokenIsReviewedOnceAndACertificateIsEnoughFromThenOn) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority));
  TestMember member(AddressOf(gate), kMember, authority);
  ASSERT_TRUE(member.Await([&] { return member.Certificate() != nullptr; }));
  EXPECT_EQ(*runtime::ReadMember(member.Certificate()->certificate_pem),
            (api::JobMember{kJob, kMember}));
  EXPECT_TRUE(runtime::CheckPair(*member.Certificate()).ok());
  gate.With([&] {
    EXPECT_THAT(gate.reviews, ElementsAre("token of 3.2 for 3.2 of " + std::string(kJob)));
    ASSERT_EQ(gate.Hellos().size(), 1u);
    EXPECT_EQ(gate.Hellos().front().token, "reviewed") << "the token itself goes no further";
  });
  gate->CloseStream(1);
  ASSERT_TRUE(gate.Await([&] { return gate.Hellos().size() == 2; }));
  gate.With([&] {
    EXPECT_EQ(gate.reviews.size(), 1u);
    EXPECT_EQ(gate.Hellos().back().token, "reviewed");
    EXPECT_THAT(gate.closed, ElementsAre(1));
    EXPECT_EQ(gate.delivered.back().job_uid, kJob);
    for (const auto& one : gate.delivered) {
      EXPECT_FALSE(std::holds_alternative<api::CertificateRequest>(one.message.message));
    }
  });
  EXPECT_EQ(gate->counts().admitted_by_token, 1u);
  EXPECT_EQ(gate->counts().admitted_by_certificate, 1u);
  member.With([&] {
    for (const auto& message : member.received) {
      EXPECT_FALSE(std::holds_alternative<api::Certificate>(message.message));
    }
  });
}

TEST(GateTest, WrongTokenIsRefusedAndNothingOfItIsDelivered) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority));
  TestMember member(AddressOf(gate), kMember, authority, "token of 4.0");
  ASSERT_TRUE(member.Await([&] { return !member.Refusal().empty(); }));
  member.With([&] {
    EXPECT_EQ(member.Refusal(), "the token of member 3.2 of job " + std::string(kJob) +
                                    " is refused: it is another pod's");
  });
  gate.With([&] {
    EXPECT_THAT(gate.delivered, IsEmpty());
    EXPECT_THAT(gate.closed, IsEmpty());
  });
  EXPECT_EQ(gate->counts().signed_certificates, 0u);
}

TEST(GateTest, MissingTokenIsRefusedWithoutAReview) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority));
  TestMember member(AddressOf(gate), kMember, authority, " ");
  ASSERT_TRUE(member.Await([&] { return !member.Refusal().empty(); }));
  member.With(
      [&] { EXPECT_THAT(member.Refusal(), HasSubstr("neither a certificate nor a token")); });
  gate.With([&] { EXPECT_THAT(gate.reviews, IsEmpty()); });
}

TEST(GateTest, AnotherMembersCertificateIsRefusedByName) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority));
  TestMember member(AddressOf(gate), kMember, authority);
  ASSERT_TRUE(member.Await([&] { return member.Certificate() != nullptr; }));
  // What 3.2 has, shown by who says that it is 9.9.
  const auto request = member.credentials().Ask(runtime::RealClock().WallNow());
  ASSERT_TRUE(request.ok());
  const auto leaf =
      runtime::SignMember(authority, request->request_pem, {kJob, {9, 9}},
                          runtime::ValidFor(runtime::RealClock().WallNow(), seconds(60)));
  ASSERT_TRUE(leaf.ok());
  ASSERT_TRUE(member.credentials()
                  .Take({*leaf, authority.certificate_pem}, runtime::RealClock().WallNow(), 0)
                  .ok());
  gate->CloseStream(1);
  ASSERT_TRUE(member.Await([&] { return !member.Refusal().empty(); }));
  member.With([&] {
    EXPECT_EQ(member.Refusal(), "the Hello is of member 3.2 of job " + std::string(kJob) +
                                    ", the certificate of member 9.9 of job " + kJob);
  });
}

TEST(GateTest, MemberThatBelievesAnotherAuthorityNeverSaysItsToken) {
  TestGate gate(MakeTestKeys(MakeTestAuthority()));
  TestMember member(AddressOf(gate), kMember, MakeTestAuthority());
  ASSERT_TRUE(member.Await([&] { return member.Heard("certificate verify failed"); }));
  EXPECT_EQ(member->counts().connected, 0u);
  gate.With([&] { EXPECT_THAT(gate.reviews, IsEmpty()); });
}

TEST(GateTest, CoordinatorOfAnotherNameIsNotBelieved) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority, {}, {"elsewhere.svc"}, {}));
  TestMember member(AddressOf(gate), kMember, authority);
  ASSERT_TRUE(member.Await([&] { return !member.troubles.empty(); }));
  EXPECT_EQ(member->counts().connected, 0u);
  gate.With([&] { EXPECT_THAT(gate.reviews, IsEmpty()); });
}

TEST(GateTest, NameIsLookedForAtEachOfItsAddresses) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority, {}, {"muster-membership.svc"}, {}));
  // The first address is of a machine that is dead: nobody listens there.
  auto names = std::make_shared<TableOfNames>(std::map<std::string, std::vector<std::string>>{
      {"muster-membership.svc", {"127.0.0.9", "127.0.0.1"}}});
  TestMember member("muster-membership.svc:" + std::to_string(gate->port()), kMember, authority, "",
                    [&](CoordinatorClient::Options* options) { options->names = names; });
  EXPECT_TRUE(member.Await([&] { return member.Certificate() != nullptr; }));
}

TEST(GateTest, CertificateOfAnAuthorityThatIsGoneGivesWayToTheToken) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority));
  TestMember member(AddressOf(gate), kMember, authority);
  ASSERT_TRUE(member.Await([&] { return member.Certificate() != nullptr; }));
  const auto foreign = MakeTestAuthority();
  const base::WallTime now = runtime::RealClock().WallNow();
  const auto request = member.credentials().Ask(now);
  const auto leaf = runtime::SignMember(foreign, request->request_pem, {kJob, kMember},
                                        runtime::ValidFor(now, std::chrono::hours(1)));
  ASSERT_TRUE(member.credentials().Take({*leaf, authority.certificate_pem}, now, 0).ok());
  gate->CloseStream(1);
  ASSERT_TRUE(gate.Await([&] { return gate.reviews.size() == 2; })) << "it comes with its token";
  EXPECT_EQ(gate->counts().admitted_by_certificate, 0u);
  // And gets another one, which is good again.
  ASSERT_TRUE(member.Await([&] { return member->counts().certificates == 2; }));
  gate->CloseStream(gate.With([&] { return gate.delivered.back().stream; }));
  ASSERT_TRUE(gate.Await([&] { return gate->counts().admitted_by_certificate == 1; }));
  gate.With([&] { EXPECT_EQ(gate.reviews.size(), 2u); });
}

TEST(GateTest, PlainTextAndTlsDoNotMeet) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority));
  TestClient plain(gate->port(), 0);
  TestServer open;
  TestMember member("127.0.0.1:" + std::to_string(open->port()), kMember, authority);
  ASSERT_TRUE(member.Await([&] { return !member.troubles.empty(); }));
  EXPECT_EQ(member->counts().connected, 0u);
  EXPECT_EQ(plain->counts().connected, 0u);
  open.With([&] { EXPECT_THAT(open.received, IsEmpty()) << "a token went out in plain text"; });
  gate.With([&] { EXPECT_THAT(gate.reviews, IsEmpty()); });
}

TEST(GateTest, WhatIsSaidDuringAReviewIsDeliveredAfterTheHello) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority));
  gate.Change([&] { gate.verdict = [](const auto&, auto) { return std::nullopt; }; });
  TestMember member(AddressOf(gate), kMember, authority, "",
                    [](CoordinatorClient::Options* options) { options->make_beat = nullptr; });
  ASSERT_TRUE(gate.Await([&] { return gate.reviews.size() == 1; }));
  for (std::uint64_t i = 0; i < 50; ++i) ASSERT_TRUE(member->Send(Beat(i)));
  gate.With([&] { EXPECT_THAT(gate.delivered, IsEmpty()); });
  gate->Reviewed(1, absl::OkStatus());
  ASSERT_TRUE(gate.Await([&] { return gate.delivered.size() == 51; }));
  gate.With([&] {
    EXPECT_TRUE(std::holds_alternative<api::Hello>(gate.delivered[0].message.message));
    for (std::uint64_t i = 0; i < 50; ++i) EXPECT_EQ(gate.delivered[i + 1].message, Beat(i));
  });
}

TEST(GateTest, ReviewThatNobodyAnswersIsAskedForAgain) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority),
                [](Gate::Options* options) { options->rules.review_within = milliseconds(50); });
  gate.Change([&] { gate.verdict = [](const auto&, auto) { return std::nullopt; }; });
  TestMember member(AddressOf(gate), kMember, authority);
  ASSERT_TRUE(gate.Await([&] { return gate.reviews.size() >= 2; }));
  gate.With([&] { EXPECT_THAT(gate.refused.front(), HasSubstr("was not reviewed in time")); });
  EXPECT_TRUE(member.Await([&] { return member.Heard("was not reviewed in time"); }));
  gate->Reviewed(1, absl::OkStatus());  // far too late: that stream is gone
  gate.With([&] { EXPECT_THAT(gate.delivered, IsEmpty()); });
}

TEST(GateTest, TalkerIsCutWhileItsReviewGoesOn) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority),
                [](Gate::Options* options) { options->rules.most_bytes = 100000; });
  gate.Change([&] { gate.verdict = [](const auto&, auto) { return std::nullopt; }; });
  TestMember member(AddressOf(gate), kMember, authority);
  ASSERT_TRUE(gate.Await([&] { return gate.reviews.size() == 1; }));
  member->Send({{}, api::Failing{74, "DataMissing", std::string(200000, 'x')}});
  ASSERT_TRUE(gate.Await([&] { return !gate.refused.empty(); }));
  gate.With(
      [&] { EXPECT_THAT(gate.refused.front(), HasSubstr("while its token was being reviewed")); });
}

TEST(GateTest, StrangersBeyondTheBoundAreTurnedAway) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority),
                [](Gate::Options* options) { options->most_strangers = 1; });
  gate.Change([&] { gate.verdict = [](const auto&, auto) { return std::nullopt; }; });
  TestMember first(AddressOf(gate), {1, 0}, authority);
  ASSERT_TRUE(gate.Await([&] { return gate.reviews.size() == 1; }));
  TestMember second(AddressOf(gate), {2, 0}, authority);
  ASSERT_TRUE(second.Await([&] { return second.Heard("too many streams"); }));
  EXPECT_GE(gate->counts().turned_away, 1u);
  gate->Reviewed(1, absl::OkStatus());
  EXPECT_TRUE(gate.Await([&] { return gate.reviews.size() == 2; })) << "the first made room";
}

TEST(GateTest, LeafIsRenewedOverTheStreamThatIsOpen) {
  const auto authority = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority),
                [](Gate::Options* options) { options->leaf_life = seconds(3); });
  TestMember member(AddressOf(gate), kMember, authority);
  ASSERT_TRUE(member.Await([&] { return member.Certificate() != nullptr; }));
  const auto first = member.Certificate();
  ASSERT_TRUE(member.Await([&] {
    const auto now = member.Certificate();
    return now != nullptr && now->certificate_pem != first->certificate_pem;
  }));
  EXPECT_EQ(member->counts().connected, 1u);
  EXPECT_EQ(*runtime::ReadMember(member.Certificate()->certificate_pem),
            (api::JobMember{kJob, kMember}));
}

TEST(GateTest, AuthorityIsReplacedWhileStreamsLive) {
  const auto old_one = MakeTestAuthority();
  const auto new_one = MakeTestAuthority();
  TestGate gate(MakeTestKeys(old_one));
  TestMember member(AddressOf(gate), kMember, old_one);
  ASSERT_TRUE(member.Await([&] { return member.Certificate() != nullptr; }));

  // Both are believed; the coordinator already shows a leaf of the new one, which the member's file
  // does not have yet.
  ASSERT_TRUE(gate->RenewKeys(MakeTestKeys(new_one, {old_one})).ok());
  ASSERT_TRUE(member.Await([&] { return member->counts().certificates == 2; }));
  EXPECT_EQ(member->counts().connected, 1u) << "the stream lives on";
  EXPECT_EQ(gate->counts().signed_certificates, 1u);
  gate->CloseStream(1);
  ASSERT_TRUE(gate.Await([&] { return gate->counts().admitted_by_certificate == 1; }))
      << "the leaf of the old one is still good";

  // The old one is gone. The member's leaf is not believed any more, its token is.
  ASSERT_TRUE(gate->RenewKeys(MakeTestKeys(new_one)).ok());
  ASSERT_TRUE(member.Await([&] { return member->counts().certificates == 3; }));
  gate->CloseStream(gate.With([&] { return gate.delivered.back().stream; }));
  ASSERT_TRUE(gate.Await([&] { return gate.reviews.size() == 2; }));
  ASSERT_TRUE(gate.Await([&] { return gate.Hellos().size() == 3; }));
}

// Streams end, keys change and members come back, all at once: each stream is told of as it must be.
TEST(GateTest, CrowdComesAndGoesWhileKeysChange) {
  constexpr int kMembers = 12;
  const auto authority = MakeTestAuthority();
  const auto other = MakeTestAuthority();
  TestGate gate(MakeTestKeys(authority, {other}));
  std::vector<std::unique_ptr<TestMember>> members;
  for (int i = 0; i < kMembers; ++i) {
    members.push_back(
        std::make_unique<TestMember>(AddressOf(gate), base::MemberId{i, 0}, authority));
  }
  for (std::size_t round = 1; round <= 4; ++round) {
    ASSERT_TRUE(gate.Await([&] { return gate.Hellos().size() >= round * kMembers; }));
    const auto& signer = round % 2 == 0 ? authority : other;
    const auto& second = round % 2 == 0 ? other : authority;
    ASSERT_TRUE(gate->RenewKeys(MakeTestKeys(signer, {second})).ok());
    std::vector<StreamId> open;
    gate.With([&] {
      for (const auto& one : gate.delivered) {
        if (std::holds_alternative<api::Hello>(one.message.message)) open.push_back(one.stream);
      }
    });
    for (StreamId stream : open) gate->CloseStream(stream);
  }
  members.clear();
  gate->Shutdown(seconds(1));
  gate.With([&] {
    std::map<StreamId, bool> greeted;
    for (const auto& one : gate.delivered) {
      const bool hello = std::holds_alternative<api::Hello>(one.message.message);
      EXPECT_EQ(greeted.contains(one.stream), !hello) << "first, and once, comes the Hello";
      greeted[one.stream] = true;
    }
    EXPECT_EQ(gate.closed.size(), greeted.size());
    for (StreamId stream : gate.closed) EXPECT_EQ(greeted.erase(stream), 1u);
  });
  const Gate::Counts counts = gate->counts();
  EXPECT_EQ(counts.refused + counts.cut + counts.turned_away, 0u);
  EXPECT_GE(counts.admitted_by_certificate + counts.admitted_by_token, 4u * kMembers);
}

TEST(GateTest, UnusableKeysAreRefusedAndChangeNothing) {
  const auto authority = MakeTestAuthority();
  const auto foreign = MakeTestAuthority();
  const GateKeys good = MakeTestKeys(authority);
  TestGate gate(good);
  struct Case {
    const char* complaint;
    GateKeys keys;
  };
  const Case cases[] = {
      {"the authority that signs",
       {good.server, {authority.certificate_pem, foreign.key_pem}, good.ca_bundle_pem}},
      {"does not have the authority that signs", {good.server, foreign, good.ca_bundle_pem}},
      {"the coordinator's own certificate",
       {MakeTestKeys(foreign).server, authority, good.ca_bundle_pem}},
      {"the coordinator's certificate: the key is not the certificate's",
       {{good.server.certificate_pem, authority.key_pem}, authority, good.ca_bundle_pem}},
      {"the CA bundle", {good.server, authority, ""}},
  };
  for (const Case& bad : cases) {
    const absl::Status status = gate->RenewKeys(bad.keys);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.complaint;
    EXPECT_THAT(base::Message(status), HasSubstr(bad.complaint));
  }
  TestMember member(AddressOf(gate), kMember, authority);
  EXPECT_TRUE(member.Await([&] { return member.Certificate() != nullptr; }));
}

TEST(GateOptionsTest, NothingIsUnprotectedByAccident) {
  const auto authority = MakeTestAuthority();
  const GateKeys keys = MakeTestKeys(authority);
  const auto make = [](const std::function<void(Gate::Options*)>& change) {
    Gate::Options options;
    options.deliver = [](StreamId, const std::string&, api::FromMember) {};
    options.closed = [](StreamId, const std::string&) {};
    change(&options);
    const auto gate = Gate::Create(std::move(options));
    return gate.ok() ? std::string() : base::Message(gate.status());
  };
  const auto review = [](StreamId, std::string, std::string, base::MemberId) {};
  EXPECT_THAT(make([](auto*) {}), HasSubstr("needs keys and a review"));
  EXPECT_THAT(make([&](auto* o) { o->keys = keys; }), HasSubstr("needs keys and a review"));
  EXPECT_THAT(make([&](auto* o) { o->review = review; }), HasSubstr("needs keys and a review"));
  EXPECT_THAT(make([&](auto* o) {
                o->insecure_for_loopback = true;
                o->review = review;
              }),
              HasSubstr("neither keys nor a review"));
  EXPECT_THAT(make([&](auto* o) {
                o->insecure_for_loopback = true;
                o->address = "0.0.0.0:0";
              }),
              HasSubstr("0.0.0.0:0 is none of them"));
  EXPECT_THAT(make([](auto* o) { o->closed = nullptr; }), HasSubstr("needs `deliver`"));
  EXPECT_EQ(make([](auto* o) { o->insecure_for_loopback = true; }), "");
  EXPECT_EQ(make([&](auto* o) {
              o->keys = keys;
              o->review = review;
            }),
            "");
}

TEST(GateOptionsTest, OnLoopbackPlainTextPassesWithItsToken) {
  TestGate gate({}, [](Gate::Options* options) {
    options->keys.reset();
    options->review = nullptr;
    options->insecure_for_loopback = true;
  });
  TestClient client({AddressOf(gate)}, 7);
  ASSERT_TRUE(gate.Await([&] { return gate.Hellos().size() == 1; }));
  gate.With([&] {
    EXPECT_EQ(gate.Hellos().front().token, "");
    EXPECT_EQ(gate.Hellos().front().member, (base::MemberId{7, 0}));
  });
  EXPECT_EQ(gate->counts().admitted_unchecked, 1u);
  EXPECT_FALSE(gate->RenewKeys({}).ok());
}

}  // namespace
}  // namespace muster::rpc
