// A member's token, certificate and trust: read when needed, replaced as a whole, asked for in time.
#include "worker/rpc/credentials.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "operator/runtime/clock.h"
#include "tests/worker/scratch_folder.h"

namespace muster::rpc {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

const api::JobMember kWho{"job-a", {3, 2}};

class CredentialsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    authority_ = *runtime::MakeAuthority("muster CA", runtime::ValidFor(now_, hours(1000)));
    folder_.Write("token", "first\n");
    folder_.Write("ca.crt", authority_.certificate_pem);
    auto made = Credentials::Create({"", folder_ / "token", folder_ / "ca.crt"});
    ASSERT_TRUE(made.ok()) << made.status();
    credentials_ = *std::move(made);
  }

  api::Certificate Answer(const api::CertificateRequest& request, base::Duration life) {
    auto leaf =
        runtime::SignMember(authority_, request.request_pem, kWho, runtime::ValidFor(now_, life));
    EXPECT_TRUE(leaf.ok()) << leaf.status();
    return {*leaf, authority_.certificate_pem};
  }

  const base::WallTime now_ = runtime::RealClock().WallNow();
  const ScratchFolder folder_;
  runtime::Identity authority_;
  std::unique_ptr<Credentials> credentials_;
};

TEST_F(CredentialsTest, TokenIsReadAnewAndWithoutItsLineEnd) {
  EXPECT_EQ(*credentials_->Token(), "first");
  folder_.Write("token", "  second \r\n\n");
  EXPECT_EQ(*credentials_->Token(), "second");
  folder_.Write("token", "\n");
  EXPECT_THAT(base::Message(credentials_->Token().status()), HasSubstr("is empty"));
  folder_.Write("token", std::string(70000, 'x'));
  EXPECT_THAT(base::Message(credentials_->Token().status()), HasSubstr("more than 65536 bytes"));
  std::filesystem::remove(folder_ / "token");
  EXPECT_THAT(base::Message(credentials_->Token().status()), HasSubstr("cannot be opened"));
}

TEST_F(CredentialsTest, WrongMixturesAreRefused) {
  EXPECT_FALSE(Credentials::Create({}).ok());
  EXPECT_FALSE(Credentials::Create({"t", "f", "c"}).ok());
  EXPECT_THAT(base::Message(Credentials::Create({"", "f", ""}).status()),
              HasSubstr("not sent in plain text"));
  const auto local = Credentials::Create({"t", "", ""});
  ASSERT_TRUE(local.ok());
  EXPECT_FALSE((*local)->tls());
  EXPECT_FALSE((*local)->Due(now_)) << "no certificates without TLS";
}

TEST_F(CredentialsTest, CertificateIsAskedForKeptAndRenewedInTime) {
  EXPECT_EQ(credentials_->Current(now_), nullptr);
  EXPECT_TRUE(credentials_->Due(now_));
  const auto request = credentials_->Ask(now_);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_FALSE(credentials_->Due(now_ + seconds(9))) << "an answer is on its way";
  EXPECT_TRUE(credentials_->Due(now_ + seconds(10))) << "it was lost";
  ASSERT_TRUE(credentials_->Take(Answer(*request, hours(24)), now_, 0).ok());
  const auto current = credentials_->Current(now_);
  ASSERT_NE(current, nullptr);
  EXPECT_TRUE(runtime::CheckPair(*current).ok());
  EXPECT_EQ(*runtime::ReadMember(current->certificate_pem), kWho);
  EXPECT_FALSE(credentials_->Due(now_ + hours(16) - minutes(1)));
  EXPECT_TRUE(credentials_->Due(now_ + hours(16) + minutes(1)));
  EXPECT_NE(credentials_->Current(now_ + hours(24) - minutes(1)), nullptr);
  EXPECT_EQ(credentials_->Current(now_ + hours(24) + minutes(1)), nullptr) << "it has expired";

  const auto second = credentials_->Ask(now_ + hours(17));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(credentials_->Current(now_), current)
      << "the old one serves until the new one is there";
  ASSERT_TRUE(credentials_->Take(Answer(*second, hours(48)), now_ + hours(17), 0).ok());
  const auto renewed = credentials_->Current(now_ + hours(30));
  ASSERT_NE(renewed, nullptr);
  EXPECT_NE(renewed->key_pem, current->key_pem) << "each certificate has a key of its own";
}

// Two messages that came at once each asked, and the answer to the first found the second one's key.
TEST_F(CredentialsTest, OneOfThoseWhoAskAtOnceAsks) {
  EXPECT_TRUE(credentials_->BeginAsking(now_));
  EXPECT_FALSE(credentials_->BeginAsking(now_));
  EXPECT_FALSE(credentials_->Due(now_));
  EXPECT_TRUE(credentials_->BeginAsking(now_ + seconds(10))) << "no answer came";
}

TEST_F(CredentialsTest, NewStreamAsksAgain) {
  const auto lost = credentials_->Ask(now_);
  ASSERT_TRUE(lost.ok());
  EXPECT_FALSE(credentials_->Due(now_));
  credentials_->OnStream(false);
  EXPECT_TRUE(credentials_->Due(now_));
  const auto request = credentials_->Ask(now_);
  ASSERT_TRUE(request.ok());
  ASSERT_TRUE(credentials_->Take(Answer(*request, hours(24)), now_, 0).ok());
  credentials_->OnStream(true);
  EXPECT_FALSE(credentials_->Due(now_)) << "it got in with its certificate";
  credentials_->OnStream(false);
  EXPECT_TRUE(credentials_->Due(now_)) << "it got in without";
  EXPECT_NE(credentials_->Current(now_), nullptr);
}

TEST_F(CredentialsTest, WrongAnswersChangeNothing) {
  const auto request = credentials_->Ask(now_);
  ASSERT_TRUE(request.ok());
  const api::Certificate good = Answer(*request, hours(24));
  ASSERT_TRUE(credentials_->Take(good, now_, 0).ok());
  const auto before = credentials_->Current(now_);
  const auto believed = credentials_->Believed();
  EXPECT_FALSE(credentials_->Take(good, now_, 0).ok()) << "of a key that nobody asks for any more";
  ASSERT_TRUE(credentials_->Ask(now_).ok());
  EXPECT_THAT(base::Message(credentials_->Take(good, now_, 0)),
              HasSubstr("the key is not the certificate's"));
  EXPECT_FALSE(credentials_->Take({"nonsense", good.ca_bundle_pem}, now_, 0).ok());
  EXPECT_FALSE(credentials_->Take({"", "nonsense"}, now_, 0).ok());
  EXPECT_FALSE(credentials_->Take({"", ""}, now_, 0).ok());
  EXPECT_EQ(credentials_->Current(now_), before);
  EXPECT_EQ(*credentials_->Believed(), *believed);
}

TEST_F(CredentialsTest, BothTheFileAndWhatWasSentAreBelieved) {
  EXPECT_EQ(*credentials_->Believed(), authority_.certificate_pem);
  const auto sent = runtime::MakeAuthority("muster CA", runtime::ValidFor(now_, hours(1000)));
  ASSERT_TRUE(sent.ok());
  ASSERT_TRUE(credentials_->Take({"", sent->certificate_pem}, now_, 0).ok());
  EXPECT_EQ(*credentials_->Believed(), authority_.certificate_pem + sent->certificate_pem);
  EXPECT_EQ(credentials_->Current(now_), nullptr) << "a bundle alone is no certificate";
  const auto later = runtime::MakeAuthority("muster CA", runtime::ValidFor(now_, hours(1000)));
  ASSERT_TRUE(later.ok());
  folder_.Write("ca.crt", later->certificate_pem);
  EXPECT_EQ(*credentials_->Believed(), later->certificate_pem + sent->certificate_pem);
  folder_.Write("ca.crt", "not a certificate");
  EXPECT_THAT(base::Message(credentials_->Believed().status()), HasSubstr(folder_ / "ca.crt"));
}

}  // namespace
}  // namespace muster::rpc
