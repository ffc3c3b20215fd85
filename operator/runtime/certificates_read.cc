// What is read and judged: certificates, pairs, bundles, chains.
#include <arpa/inet.h>

#include <ctime>
#include <set>

#include "operator/base/sha256.h"
#include "operator/runtime/certificates.h"
#include "operator/runtime/openssl_parts.h"

namespace muster::runtime {
namespace {

using openssl::Broken;
using openssl::Certificate;
using openssl::Key;
using openssl::Names;
using openssl::Unusable;

std::string Text(const ASN1_STRING* value) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                     static_cast<std::size_t>(ASN1_STRING_length(value)));
}

absl::StatusOr<base::WallTime> ReadTime(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return Unusable("a certificate's time cannot be read");
  return base::WallTime(std::chrono::seconds(timegm(&parts)));
}

std::string AddressText(const ASN1_OCTET_STRING* value) {
  char text[INET6_ADDRSTRLEN] = "";
  const int family = ASN1_STRING_length(value) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(value) != 16) return text;
  inet_ntop(family, ASN1_STRING_get0_data(value), text, sizeof(text));
  return text;
}

void ReadNames(const X509* certificate, CertificateInfo* info) {
  const Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
  for (int i = 0; i < count; ++i) {
    int kind = 0;
    const auto* value = static_cast<const ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &kind));
    if (kind == GEN_URI) info->uris.push_back(Text(value));
    if (kind == GEN_DNS) info->dns_names.push_back(Text(value));
    if (kind == GEN_IPADD) info->ip_addresses.push_back(AddressText(value));
  }
}

std::string CommonName(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return "";
  return Text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

absl::StatusOr<std::string> Fingerprint(X509* certificate) {
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(certificate, &bytes);
  if (size < 0) return Broken("write a certificate");
  const std::string_view whole(reinterpret_cast<const char*>(bytes),
                               static_cast<std::size_t>(size));
  std::string hex = base::Sha256Hex(whole);
  OPENSSL_free(bytes);
  return hex;
}

absl::StatusOr<CertificateInfo> Read(X509* certificate) {
  CertificateInfo info;
  info.subject = CommonName(certificate);
  ReadNames(certificate, &info);
  MUSTER_ASSIGN_OR_RETURN(info.not_before, ReadTime(X509_get0_notBefore(certificate)));
  MUSTER_ASSIGN_OR_RETURN(info.not_after, ReadTime(X509_get0_notAfter(certificate)));
  info.is_authority = X509_check_ca(certificate) == 1;
  MUSTER_ASSIGN_OR_RETURN(info.fingerprint, Fingerprint(certificate));
  ERR_clear_error();
  return info;
}

}  // namespace

absl::StatusOr<CertificateInfo> ReadCertificate(const std::string& certificate_pem) {
  MUSTER_ASSIGN_OR_RETURN(const auto all, openssl::ReadCertificates(certificate_pem, "the text"));
  return Read(all.front().get());
}

absl::StatusOr<api::JobMember> ReadMember(const std::string& certificate_pem) {
  MUSTER_ASSIGN_OR_RETURN(const CertificateInfo info, ReadCertificate(certificate_pem));
  if (info.uris.size() != 1) {
    return base::InvalidArgument("the certificate '" + info.subject + "' has " +
                                 std::to_string(info.uris.size()) +
                                 " URIs; a member's has one, which names it");
  }
  return api::ParseMemberUri(info.uris.front());
}

absl::Status CheckPair(const Identity& identity) {
  MUSTER_ASSIGN_OR_RETURN(const auto certificates,
                          openssl::ReadCertificates(identity.certificate_pem, "the certificate"));
  MUSTER_ASSIGN_OR_RETURN(const Key key, openssl::ReadKey(identity.key_pem, "the key"));
  if (X509_check_private_key(certificates.front().get(), key.get()) != 1) {
    return Unusable("the key is not the certificate's");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> MakeBundle(const std::vector<std::string>& authorities_pem,
                                       base::WallTime now) {
  std::string bundle;
  std::set<std::string> seen;
  for (const std::string& pem : authorities_pem) {
    MUSTER_ASSIGN_OR_RETURN(const auto all,
                            openssl::ReadCertificates(pem, "the text of an authority"));
    for (const Certificate& certificate : all) {
      MUSTER_ASSIGN_OR_RETURN(const CertificateInfo info, Read(certificate.get()));
      if (!info.is_authority) {
        return base::InvalidArgument("the certificate '" + info.subject +
                                     "' is not an authority's; it cannot vouch for others");
      }
      if (info.not_after < now || !seen.insert(info.fingerprint).second) continue;
      MUSTER_ASSIGN_OR_RETURN(const std::string one, openssl::CertificateToPem(certificate.get()));
      bundle += one;
    }
  }
  if (bundle.empty()) {
    return base::InvalidArgument("no authority is left that is still valid");
  }
  return bundle;
}

absl::Status Verify(const std::string& chain_pem, const std::string& bundle_pem, Purpose purpose,
                    base::WallTime now) {
  MUSTER_ASSIGN_OR_RETURN(auto chain, openssl::ReadCertificates(chain_pem, "the certificate"));
  MUSTER_ASSIGN_OR_RETURN(const auto bundle,
                          openssl::ReadCertificates(bundle_pem, "the CA bundle"));
  const openssl::Store store(X509_STORE_new());
  const openssl::StoreContext context(X509_STORE_CTX_new());
  const openssl::CertificateStack others(sk_X509_new_null());
  if (!store || !context || !others) return Broken("judge a certificate");
  for (const Certificate& authority : bundle) X509_STORE_add_cert(store.get(), authority.get());
  const Certificate leaf = std::move(chain.front());
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (sk_X509_push(others.get(), chain[i].get()) <= 0) return Broken("judge a certificate");
    chain[i].release();  // the stack's from here on
  }
  if (X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), others.get()) != 1) {
    return Broken("judge a certificate");
  }
  X509_VERIFY_PARAM* rules = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(
      rules, std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  if (purpose != Purpose::kAny) {
    X509_VERIFY_PARAM_set_purpose(
        rules, purpose == Purpose::kServer ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
  }
  const bool good = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (good) return absl::OkStatus();
  return base::InvalidArgument("the certificate '" + CommonName(leaf.get()) +
                               "' is not believed: " + X509_verify_cert_error_string(error));
}

}  // namespace muster::runtime
