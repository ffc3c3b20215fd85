// Made, signed, read and judged; and what must be refused is refused with a reason. OpenSSL itself
// is asked where our own judgement would only confirm our own making.
#include "operator/runtime/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace muster::runtime {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// 2026-11-21 12:00:00 UTC: certificates are values of time, no clock is asked.
const base::WallTime kNow{seconds(1795262400)};
const Validity kYears{kNow - minutes(5), kNow + hours(24 * 365)};
const api::JobMember kWho{"6f1c2b9e-8f4a-4a55-9d0e-3b1f0a9c7e21", {3, 2}};

Identity Authority(const std::string& name = "muster CA") {
  auto made = MakeAuthority(name, kYears);
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

Identity MemberLeaf(const Identity& authority, Validity validity = ValidFor(kNow, kLeafLife)) {
  const auto request = MakeRequest();
  EXPECT_TRUE(request.ok()) << request.status();
  auto leaf = SignMember(authority, request->request_pem, kWho, validity);
  EXPECT_TRUE(leaf.ok()) << leaf.status();
  return {*std::move(leaf), request->key_pem};
}

std::string Complaint(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return base::Message(status);
}

using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
X509Ptr Parse(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509Ptr certificate(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr), X509_free);
  BIO_free(bio);
  return certificate;
}

TEST(CertificatesTest, MemberLeafSaysWhoItIsAndHowLong) {
  const Identity leaf = MemberLeaf(Authority());
  const auto info = ReadCertificate(leaf.certificate_pem);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_THAT(info->uris,
              ElementsAre("muster://job/6f1c2b9e-8f4a-4a55-9d0e-3b1f0a9c7e21/member/3.2"));
  EXPECT_THAT(info->dns_names, IsEmpty());
  EXPECT_THAT(info->ip_addresses, IsEmpty());
  EXPECT_EQ(info->not_before, kNow - minutes(5));
  EXPECT_EQ(info->not_after, kNow + hours(24));
  EXPECT_FALSE(info->is_authority);
  EXPECT_EQ(info->fingerprint.size(), 64u);
  const auto who = ReadMember(leaf.certificate_pem);
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(*who, kWho);
  EXPECT_TRUE(CheckPair(leaf).ok());
}

TEST(CertificatesTest, ServerLeafHasItsNamesAndServesOnly) {
  const Identity authority = Authority();
  const auto leaf = IssueServer(
      authority, {{"muster-membership.muster-system.svc", "localhost"}, {"127.0.0.1", "::1"}},
      ValidFor(kNow, kLeafLife));
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  const auto info = ReadCertificate(leaf->certificate_pem);
  ASSERT_TRUE(info.ok());
  EXPECT_THAT(info->dns_names, ElementsAre("muster-membership.muster-system.svc", "localhost"));
  EXPECT_THAT(info->ip_addresses, ElementsAre("127.0.0.1", "::1"));
  EXPECT_THAT(info->uris, IsEmpty());
  EXPECT_TRUE(CheckPair(*leaf).ok());
  const std::string& bundle = authority.certificate_pem;
  EXPECT_TRUE(Verify(leaf->certificate_pem, bundle, Purpose::kServer, kNow).ok());
  EXPECT_THAT(Complaint(Verify(leaf->certificate_pem, bundle, Purpose::kClient, kNow)),
              AllOf(HasSubstr("'muster coordinator' is not believed"), HasSubstr("purpose")));
  EXPECT_THAT(Complaint(ReadMember(leaf->certificate_pem).status()), HasSubstr("has 0 URIs"));
  const X509Ptr parsed = Parse(leaf->certificate_pem);
  EXPECT_EQ(X509_check_host(parsed.get(), "muster-membership.muster-system.svc", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(parsed.get(), "elsewhere.svc", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_ip_asc(parsed.get(), "::1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(parsed.get(), "127.0.0.2", 0), 0);
}

TEST(CertificatesTest, MemberIsNoServerOfAnyName) {
  const Identity authority = Authority();
  const Identity leaf = MemberLeaf(authority);
  for (Purpose purpose : {Purpose::kServer, Purpose::kClient}) {
    EXPECT_TRUE(Verify(leaf.certificate_pem, authority.certificate_pem, purpose, kNow).ok());
  }
  const X509Ptr parsed = Parse(leaf.certificate_pem);
  for (const char* name : {"muster", "member", "localhost", "3.2", "127.0.0.1"}) {
    EXPECT_NE(X509_check_host(parsed.get(), name, 0, 0, nullptr), 1) << name;
  }
}

TEST(CertificatesTest, OpenSslsOwnVerdictOnSignatures) {
  const Identity authority = Authority();
  const X509Ptr ca = Parse(authority.certificate_pem);
  const X509Ptr leaf = Parse(MemberLeaf(authority).certificate_pem);
  const X509Ptr other = Parse(Authority().certificate_pem);
  EXPECT_EQ(X509_verify(ca.get(), X509_get0_pubkey(ca.get())), 1);
  EXPECT_EQ(X509_verify(leaf.get(), X509_get0_pubkey(ca.get())), 1);
  EXPECT_NE(X509_verify(leaf.get(), X509_get0_pubkey(other.get())), 1);
  EXPECT_EQ(X509_check_issued(ca.get(), leaf.get()), X509_V_OK);
  EXPECT_NE(X509_check_issued(other.get(), leaf.get()), X509_V_OK);
  EXPECT_EQ(X509_get_version(leaf.get()), 2);
  EXPECT_EQ(X509_get_extension_flags(leaf.get()) & EXFLAG_CRITICAL, 0u) << "an unknown extension";
  EXPECT_EQ(X509_get_pathlen(ca.get()), 0);
  EXPECT_EQ(X509_get_key_usage(ca.get()), static_cast<unsigned>(KU_KEY_CERT_SIGN | KU_CRL_SIGN));
  EXPECT_EQ(X509_get_key_usage(leaf.get()), static_cast<unsigned>(KU_DIGITAL_SIGNATURE));
}

TEST(CertificatesTest, ForeignAuthorityIsNotBelieved) {
  const Identity leaf = MemberLeaf(Authority());
  const Identity foreign = Authority("muster CA");
  EXPECT_THAT(
      Complaint(Verify(leaf.certificate_pem, foreign.certificate_pem, Purpose::kClient, kNow)),
      HasSubstr("unable to get local issuer certificate"));
  EXPECT_FALSE(
      Verify(leaf.certificate_pem, MemberLeaf(foreign).certificate_pem, Purpose::kClient, kNow)
          .ok())
      << "a leaf vouches for nobody";
}

TEST(CertificatesTest, LeafIsGoodInItsTimeAndNotAfter) {
  const Identity authority = Authority();
  const Identity leaf = MemberLeaf(authority);
  const auto judge = [&](base::WallTime now) {
    return Verify(leaf.certificate_pem, authority.certificate_pem, Purpose::kClient, now);
  };
  EXPECT_THAT(Complaint(judge(kNow - minutes(6))), HasSubstr("not yet valid"));
  EXPECT_TRUE(judge(kNow - minutes(5) + seconds(1)).ok()) << "the other clock may be behind";
  EXPECT_TRUE(judge(kNow + hours(24) - seconds(1)).ok());
  EXPECT_THAT(Complaint(judge(kNow + hours(24) + seconds(1))), HasSubstr("expired"));
}

TEST(CertificatesTest, LeafEndsWithItsAuthority) {
  const auto authority = MakeAuthority("muster CA", {kNow - hours(1), kNow + hours(2)});
  ASSERT_TRUE(authority.ok());
  const auto info = ReadCertificate(MemberLeaf(*authority).certificate_pem);
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->not_after, kNow + hours(2));
  const auto request = MakeRequest();
  ASSERT_TRUE(request.ok());
  const auto late =
      SignMember(*authority, request->request_pem, kWho, ValidFor(kNow + hours(3), kLeafLife));
  EXPECT_THAT(Complaint(late.status()), HasSubstr("the authority has expired"));
}

// The same request with another key in it: whoever sends it does not have that key.
std::string WithAnotherKey(const std::string& request_pem) {
  BIO* bio = BIO_new_mem_buf(request_pem.data(), static_cast<int>(request_pem.size()));
  X509_REQ* request = PEM_read_bio_X509_REQ(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  EVP_PKEY* another = EVP_EC_gen("P-256");
  X509_REQ_set_pubkey(request, another);
  bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509_REQ(bio, request);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  EVP_PKEY_free(another);
  X509_REQ_free(request);
  return text;
}

std::string RequestOfAnotherCurve() {
  EVP_PKEY* key = EVP_EC_gen("P-384");
  X509_REQ* request = X509_REQ_new();
  X509_REQ_set_pubkey(request, key);
  X509_REQ_sign(request, key, EVP_sha256());
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509_REQ(bio, request);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  X509_REQ_free(request);
  EVP_PKEY_free(key);
  return text;
}

TEST(CertificatesTest, BadRequestsAreRefusedWithTheirReason) {
  const Identity authority = Authority();
  const auto request = MakeRequest();
  ASSERT_TRUE(request.ok());
  struct Case {
    std::string request;
    const char* complaint;
  };
  const Case cases[] = {
      {"", "is not a PKCS #10 request"},
      {"nonsense", "is not a PKCS #10 request"},
      {authority.certificate_pem, "is not a PKCS #10 request"},
      {request->request_pem.substr(0, 200), "is not a PKCS #10 request"},
      {WithAnotherKey(request->request_pem), "signature does not hold"},
      {RequestOfAnotherCurve(), "not of the curve P-256"},
  };
  for (const Case& bad : cases) {
    const auto leaf = SignMember(authority, bad.request, kWho, ValidFor(kNow, kLeafLife));
    EXPECT_THAT(Complaint(leaf.status()), HasSubstr(bad.complaint));
  }
  const auto leaf =
      SignMember(authority, request->request_pem, {"a/member/9.9", {}}, ValidFor(kNow, kLeafLife));
  EXPECT_THAT(Complaint(leaf.status()), HasSubstr("job uid 'a/member/9.9'"));
}

TEST(CertificatesTest, OnlyAnAuthorityWithItsKeySigns) {
  const Identity authority = Authority();
  const auto request = MakeRequest();
  ASSERT_TRUE(request.ok());
  const auto sign = [&](const Identity& by) {
    return Complaint(
        SignMember(by, request->request_pem, kWho, ValidFor(kNow, kLeafLife)).status());
  };
  EXPECT_THAT(sign(MemberLeaf(authority)), HasSubstr("not an authority's"));
  EXPECT_THAT(sign({authority.certificate_pem, Authority().key_pem}),
              HasSubstr("key is not its certificate's"));
  EXPECT_THAT(sign({authority.certificate_pem, "no key"}), HasSubstr("not a private key"));
  EXPECT_THAT(sign({"no certificate", authority.key_pem}), HasSubstr("not a certificate in PEM"));
}

TEST(CertificatesTest, BadNamesAndTimesAreRefused) {
  const Identity authority = Authority();
  const auto issue = [&](const ServerNames& names) {
    return Complaint(IssueServer(authority, names, ValidFor(kNow, kLeafLife)).status());
  };
  EXPECT_THAT(issue({}), HasSubstr("needs a DNS name or an IP address"));
  EXPECT_THAT(issue({{"*.svc"}, {}}), HasSubstr("'*.svc' is not a host's name"));
  EXPECT_THAT(issue({{"a,DNS:b"}, {}}), HasSubstr("is not a host's name"));
  EXPECT_THAT(issue({{}, {"1.2.3"}}), HasSubstr("'1.2.3' is not an IPv4 or IPv6 address"));
  EXPECT_THAT(Complaint(MakeAuthority("x", {kNow, kNow}).status()),
              HasSubstr("ends before it begins"));
  EXPECT_THAT(Complaint(MakeAuthority(std::string(70, 'x'), kYears).status()),
              HasSubstr("1 to 64 characters"));
}

TEST(CertificatesTest, BundleHoldsEachValidAuthorityOnce) {
  const Identity old_one = Authority();
  const Identity new_one = Authority();
  const auto expired = MakeAuthority("muster CA", {kNow - hours(9), kNow - hours(8)});
  ASSERT_TRUE(expired.ok());
  const auto bundle =
      MakeBundle({old_one.certificate_pem, new_one.certificate_pem,
                  old_one.certificate_pem + new_one.certificate_pem, expired->certificate_pem},
                 kNow);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(*bundle, old_one.certificate_pem + new_one.certificate_pem);
  for (const Identity& authority : {old_one, new_one}) {
    EXPECT_TRUE(
        Verify(MemberLeaf(authority).certificate_pem, *bundle, Purpose::kClient, kNow).ok());
  }
  EXPECT_THAT(Complaint(MakeBundle({expired->certificate_pem}, kNow).status()),
              HasSubstr("no authority is left"));
  EXPECT_THAT(Complaint(MakeBundle({MemberLeaf(old_one).certificate_pem}, kNow).status()),
              HasSubstr("'muster member' is not an authority's"));
  EXPECT_THAT(Complaint(MakeBundle({"?"}, kNow).status()), HasSubstr("not a certificate in PEM"));
  const std::string broken =
      old_one.certificate_pem + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  EXPECT_THAT(Complaint(MakeBundle({broken}, kNow).status()), HasSubstr("cannot be read"));
}

TEST(CertificatesTest, PairsThatDoNotBelongTogetherAreNamed) {
  const Identity one = MemberLeaf(Authority());
  const Identity two = MemberLeaf(Authority());
  EXPECT_THAT(Complaint(CheckPair({one.certificate_pem, two.key_pem})),
              HasSubstr("the key is not the certificate's"));
  EXPECT_THAT(Complaint(CheckPair({one.certificate_pem, ""})), HasSubstr("not a private key"));
  EXPECT_THAT(Complaint(ReadCertificate("").status()), HasSubstr("not a certificate in PEM"));
}

TEST(CertificatesTest, EveryKeyAndSerialIsItsOwn) {
  const auto one = MakeRequest();
  const auto two = MakeRequest();
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_NE(one->key_pem, two->key_pem);
  EXPECT_THAT(one->request_pem, Not(HasSubstr("PRIVATE")));
  const Identity authority = Authority();
  const auto first = SignMember(authority, one->request_pem, kWho, ValidFor(kNow, kLeafLife));
  const auto second = SignMember(authority, one->request_pem, kWho, ValidFor(kNow, kLeafLife));
  ASSERT_TRUE(first.ok() && second.ok());
  const X509Ptr a = Parse(*first);
  const X509Ptr b = Parse(*second);
  EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(a.get()), X509_get0_serialNumber(b.get())), 0);
}

TEST(RenewalTest, AfterTwoThirdsOrSomewhatEarlier) {
  struct Case {
    base::Duration life;
    double jitter;
    base::Duration after;
  };
  const Case cases[] = {
      {hours(24), 0, hours(16)},
      {hours(24), 1, hours(16) - minutes(144)},
      {hours(24), 0.5, hours(16) - minutes(72)},
      {hours(24), 7, hours(16) - minutes(144)},
      {hours(24), -1, hours(16)},
      {seconds(3), 0, seconds(2)},
      {seconds(0), 0, seconds(0)},
      {-hours(1), 0, seconds(0)},
  };
  for (const Case& c : cases) {
    const base::Duration got = WhenToRenew(kNow, kNow + c.life, c.jitter) - kNow;
    EXPECT_LT(std::chrono::abs(got - c.after), std::chrono::milliseconds(1))
        << base::ToSeconds(c.life) << " " << c.jitter;
  }
}

}  // namespace
}  // namespace muster::runtime
