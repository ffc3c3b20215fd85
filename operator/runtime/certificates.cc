// What is made: authorities, leaves, requests. Reading and judging are in certificates_read.cc.
#include "operator/runtime/certificates.h"

#include <openssl/rand.h>

#include <algorithm>
#include <ctime>

#include "operator/runtime/entropy.h"
#include "operator/runtime/openssl_parts.h"

namespace muster::runtime {
namespace {

using openssl::Broken;
using openssl::Certificate;
using openssl::Key;
using openssl::Names;
using openssl::Unusable;

constexpr int kVersion3 = 2;
constexpr int kSerialBytes = 16;
constexpr std::size_t kLongestName = 253;  // of a host
constexpr std::size_t kLongestCommonName = 64;
constexpr char kCurve[] = "P-256";
constexpr char kCurveOfRequests[] = "prime256v1";  // the same, as OpenSSL calls it when it is asked

std::time_t Seconds(base::WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

// What a certificate may be used for, in OpenSSL's words. None of it comes from outside.
struct Extension {
  int what;
  const char* value;
};
constexpr Extension kAuthority[] = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                    {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                    {NID_subject_key_identifier, "hash"}};
constexpr Extension kServer[] = {{NID_basic_constraints, "critical,CA:FALSE"},
                                 {NID_key_usage, "critical,digitalSignature"},
                                 {NID_ext_key_usage, "serverAuth"},
                                 {NID_subject_key_identifier, "hash"},
                                 {NID_authority_key_identifier, "keyid:always"}};
constexpr Extension kMember[] = {{NID_basic_constraints, "critical,CA:FALSE"},
                                 {NID_key_usage, "critical,digitalSignature"},
                                 {NID_ext_key_usage, "clientAuth,serverAuth"},
                                 {NID_subject_key_identifier, "hash"},
                                 {NID_authority_key_identifier, "keyid:always"}};

struct Signer {
  Certificate certificate;
  Key key;
};

absl::StatusOr<Signer> ReadSigner(const Identity& authority) {
  MUSTER_ASSIGN_OR_RETURN(auto certificates,
                          openssl::ReadCertificates(authority.certificate_pem, "the authority"));
  MUSTER_ASSIGN_OR_RETURN(Key key, openssl::ReadKey(authority.key_pem, "the authority's key"));
  if (X509_check_ca(certificates.front().get()) != 1) {
    return Unusable("the certificate that should sign is not an authority's");
  }
  if (X509_check_private_key(certificates.front().get(), key.get()) != 1) {
    return Unusable("the authority's key is not its certificate's");
  }
  return Signer{std::move(certificates.front()), std::move(key)};
}

absl::Status SetSerial(X509* certificate) {
  unsigned char bytes[kSerialBytes];
  if (RAND_bytes(bytes, sizeof(bytes)) != 1) return Broken("make a serial number");
  bytes[0] &= 0x7f;  // it must be positive
  bytes[0] |= 0x40;  // and of one length
  const std::unique_ptr<BIGNUM, openssl::Freed<BN_free>> number(
      BN_bin2bn(bytes, sizeof(bytes), nullptr));
  if (!number || BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return Broken("write a serial number");
  }
  return absl::OkStatus();
}

absl::Status SetValidity(X509* certificate, Validity validity, const X509* authority) {
  if (validity.until <= validity.from) {
    return base::InvalidArgument("a certificate's validity ends before it begins");
  }
  if (ASN1_TIME_set(X509_getm_notBefore(certificate), Seconds(validity.from)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate), Seconds(validity.until)) == nullptr) {
    return Broken("write a certificate's validity");
  }
  if (authority == nullptr) return absl::OkStatus();
  const ASN1_TIME* end = X509_get0_notAfter(authority);
  if (ASN1_TIME_compare(X509_get0_notAfter(certificate), end) > 0 &&
      X509_set1_notAfter(certificate, end) != 1) {
    return Broken("shorten a certificate's validity");
  }
  if (ASN1_TIME_compare(X509_get0_notBefore(certificate), X509_get0_notAfter(certificate)) >= 0) {
    return base::InvalidArgument("the authority has expired; it signs nothing any more");
  }
  return absl::OkStatus();
}

absl::Status SetCommonName(X509* certificate, const std::string& name) {
  if (name.empty() || name.size() > kLongestCommonName ||
      X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<int>(name.size()), -1, 0) != 1) {
    return Unusable("a certificate's name '" + name.substr(0, 100) +
                    "' is not 1 to 64 characters of UTF-8");
  }
  return absl::OkStatus();
}

template <std::size_t N>
absl::Status Extend(X509* certificate, X509* issuer, const Extension (&extensions)[N]) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  for (const Extension& extension : extensions) {
    const std::unique_ptr<X509_EXTENSION, openssl::Freed<X509_EXTENSION_free>> made(
        X509V3_EXT_conf_nid(nullptr, &context, extension.what, extension.value));
    if (!made || X509_add_ext(certificate, made.get(), -1) != 1) {
      return Broken(std::string("write the extension ") + extension.value);
    }
  }
  return absl::OkStatus();
}

// Everything but the names. `signer` null: it signs itself with `key`.
template <std::size_t N>
absl::StatusOr<Certificate> Begin(const std::string& name, EVP_PKEY* key, Validity validity,
                                  X509* issuer, const Extension (&extensions)[N]) {
  Certificate certificate(X509_new());
  if (!certificate || X509_set_version(certificate.get(), kVersion3) != 1 ||
      X509_set_pubkey(certificate.get(), key) != 1) {
    return Broken("make a certificate");
  }
  MUSTER_RETURN_IF_ERROR(SetSerial(certificate.get()));
  MUSTER_RETURN_IF_ERROR(SetValidity(certificate.get(), validity, issuer));
  MUSTER_RETURN_IF_ERROR(SetCommonName(certificate.get(), name));
  X509* const signed_by = issuer == nullptr ? certificate.get() : issuer;
  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(signed_by)) != 1) {
    return Broken("name a certificate's issuer");
  }
  MUSTER_RETURN_IF_ERROR(Extend(certificate.get(), signed_by, extensions));
  return certificate;
}

absl::StatusOr<std::string> Finish(X509* certificate, EVP_PKEY* signer) {
  if (X509_sign(certificate, signer, EVP_sha256()) <= 0) return Broken("sign a certificate");
  return openssl::CertificateToPem(certificate);
}

absl::Status AddName(GENERAL_NAMES* names, int kind, ASN1_STRING* value) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  if (name == nullptr || value == nullptr) {
    GENERAL_NAME_free(name);
    ASN1_STRING_free(value);
    return Broken("write a name");
  }
  GENERAL_NAME_set0_value(name, kind, value);
  if (sk_GENERAL_NAME_push(names, name) <= 0) {
    GENERAL_NAME_free(name);
    return Broken("write a name");
  }
  return absl::OkStatus();
}

absl::Status AddText(GENERAL_NAMES* names, int kind, const std::string& text) {
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  if (value != nullptr && ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) != 1) {
    ASN1_STRING_free(value);
    value = nullptr;
  }
  return AddName(names, kind, value);
}

absl::Status SetNames(X509* certificate, GENERAL_NAMES* names) {
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1) {
    return Broken("write a certificate's names");
  }
  return absl::OkStatus();
}

bool IsHostName(const std::string& name) {
  return !name.empty() && name.size() <= kLongestName && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
  });
}

absl::StatusOr<Names> WriteServerNames(const ServerNames& wanted) {
  Names names(GENERAL_NAMES_new());
  if (!names) return Broken("write names");
  for (const std::string& name : wanted.dns_names) {
    if (!IsHostName(name)) {
      return base::InvalidArgument("'" + name.substr(0, kLongestName) +
                                   "' is not a host's name: letters, digits, '-' and '.'");
    }
    MUSTER_RETURN_IF_ERROR(AddText(names.get(), GEN_DNS, name));
  }
  for (const std::string& address : wanted.ip_addresses) {
    ASN1_OCTET_STRING* value = a2i_IPADDRESS(address.c_str());
    if (value == nullptr) return Unusable("'" + address + "' is not an IPv4 or IPv6 address");
    MUSTER_RETURN_IF_ERROR(AddName(names.get(), GEN_IPADD, value));
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) {
    return base::InvalidArgument("a server's certificate needs a DNS name or an IP address");
  }
  return names;
}

// The request's public key, once it has proved that its sender has the other half.
absl::StatusOr<Key> KeyOfRequest(const std::string& request_pem) {
  const openssl::Bio reader = openssl::Reader(request_pem);
  const openssl::SigningRequest request(
      PEM_read_bio_X509_REQ(reader.get(), nullptr, openssl::NoPassword, nullptr));
  if (!request) return Unusable("the certificate request is not a PKCS #10 request in PEM");
  Key key(X509_REQ_get_pubkey(request.get()));
  char curve[64] = "";
  if (!key || EVP_PKEY_get_group_name(key.get(), curve, sizeof(curve), nullptr) != 1 ||
      std::string(curve) != kCurveOfRequests) {
    return Unusable("the certificate request's key is not of the curve P-256");
  }
  if (X509_REQ_verify(request.get(), key.get()) != 1) {
    return Unusable(
        "the certificate request's signature does not hold: its sender does not have the key");
  }
  return key;
}

}  // namespace

Validity ValidFor(base::WallTime now, base::Duration life) {
  return {now - kClockSkew, now + life};
}

absl::StatusOr<Identity> MakeAuthority(const std::string& name, Validity validity) {
  const Key key(EVP_EC_gen(kCurve));
  if (!key) return Broken("make a key");
  MUSTER_ASSIGN_OR_RETURN(
      const Certificate certificate,
      Begin(name + " " + RandomToken(4), key.get(), validity, nullptr, kAuthority));
  Identity identity;
  MUSTER_ASSIGN_OR_RETURN(identity.certificate_pem, Finish(certificate.get(), key.get()));
  MUSTER_ASSIGN_OR_RETURN(identity.key_pem, openssl::KeyToPem(key.get()));
  return identity;
}

absl::StatusOr<Identity> IssueServer(const Identity& authority, const ServerNames& names,
                                     Validity validity) {
  MUSTER_ASSIGN_OR_RETURN(const Signer signer, ReadSigner(authority));
  MUSTER_ASSIGN_OR_RETURN(const Names written, WriteServerNames(names));
  const Key key(EVP_EC_gen(kCurve));
  if (!key) return Broken("make a key");
  MUSTER_ASSIGN_OR_RETURN(
      const Certificate certificate,
      Begin("muster coordinator", key.get(), validity, signer.certificate.get(), kServer));
  MUSTER_RETURN_IF_ERROR(SetNames(certificate.get(), written.get()));
  Identity identity;
  MUSTER_ASSIGN_OR_RETURN(identity.certificate_pem, Finish(certificate.get(), signer.key.get()));
  MUSTER_ASSIGN_OR_RETURN(identity.key_pem, openssl::KeyToPem(key.get()));
  return identity;
}

absl::StatusOr<std::string> SignMember(const Identity& authority, const std::string& request_pem,
                                       const api::JobMember& who, Validity validity) {
  MUSTER_ASSIGN_OR_RETURN(const std::string uri, api::MemberUri(who));
  MUSTER_ASSIGN_OR_RETURN(const Key key, KeyOfRequest(request_pem));
  MUSTER_ASSIGN_OR_RETURN(const Signer signer, ReadSigner(authority));
  // The space keeps the name from ever being a host's, where somebody still looks at it.
  MUSTER_ASSIGN_OR_RETURN(const Certificate certificate, Begin("muster member", key.get(), validity,
                                                               signer.certificate.get(), kMember));
  const Names names(GENERAL_NAMES_new());
  if (!names) return Broken("write names");
  MUSTER_RETURN_IF_ERROR(AddText(names.get(), GEN_URI, uri));
  MUSTER_RETURN_IF_ERROR(SetNames(certificate.get(), names.get()));
  return Finish(certificate.get(), signer.key.get());
}

absl::StatusOr<Request> MakeRequest() {
  const Key key(EVP_EC_gen(kCurve));
  const openssl::SigningRequest request(X509_REQ_new());
  if (!key || !request || X509_REQ_set_version(request.get(), 0) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0) {
    return Broken("make a certificate request");
  }
  Request made;
  MUSTER_ASSIGN_OR_RETURN(made.request_pem, openssl::ToPem("a request", [&](BIO* bio) {
                            return PEM_write_bio_X509_REQ(bio, request.get());
                          }));
  MUSTER_ASSIGN_OR_RETURN(made.key_pem, openssl::KeyToPem(key.get()));
  return made;
}

base::WallTime WhenToRenew(base::WallTime from, base::WallTime until, double jitter) {
  const double life = base::ToSeconds(until - from);
  const double share = 2.0 / 3 - 0.1 * std::clamp(jitter, 0.0, 1.0);
  return from + base::FromSeconds(std::max(life, 0.0) * share);
}

}  // namespace muster::runtime
