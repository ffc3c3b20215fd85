#include "operator/kube/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

namespace muster::kube {
namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* thing) const {
    Free(thing);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

// Where distributions keep the roots that a kubeconfig without a CA relies on.
constexpr const char* kSystemRoots[] = {"/etc/ssl/certs/ca-certificates.crt",
                                        "/etc/pki/tls/certs/ca-bundle.crt",
                                        "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};

Bio Reader(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Certificate NextCertificate(BIO* from) {
  return Certificate(PEM_read_bio_X509(from, nullptr, nullptr, nullptr));
}

absl::Status Unusable(const std::string& what) {
  ERR_clear_error();
  return base::InvalidArgument(what + " cannot be used: no PEM, or not what it should be");
}

absl::Status TrustOnly(SSL_CTX* context, std::string_view ca_pem) {
  X509_STORE* store = X509_STORE_new();
  SSL_CTX_set_cert_store(context, store);  // owns it
  if (ca_pem.empty()) {
    for (const char* path : kSystemRoots) {
      if (SSL_CTX_load_verify_locations(context, path, nullptr) == 1) break;
    }
    ERR_clear_error();
    return absl::OkStatus();
  }
  const Bio reader = Reader(ca_pem);
  int count = 0;
  for (Certificate ca = NextCertificate(reader.get()); ca; ca = NextCertificate(reader.get())) {
    // A bundle may hold one twice, while a CA is being replaced.
    X509_STORE_add_cert(store, ca.get());
    ++count;
  }
  ERR_clear_error();
  return count > 0 ? absl::OkStatus() : Unusable("the certificate authority");
}

absl::Status Show(SSL_CTX* context, const Access& access) {
  const Bio certificates = Reader(access.certificate_pem);
  const Certificate leaf = NextCertificate(certificates.get());
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return Unusable("the client certificate");
  }
  SSL_CTX_clear_chain_certs(context);
  for (Certificate next = NextCertificate(certificates.get()); next;
       next = NextCertificate(certificates.get())) {
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) {
      return Unusable("the client certificate's chain");
    }
  }
  const Bio keys = Reader(access.key_pem);
  const Key key(PEM_read_bio_PrivateKey(keys.get(), nullptr, nullptr, nullptr));
  if (!key) return Unusable("the client's private key");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return Unusable("the client's private key does not belong to its certificate; it");
  }
  ERR_clear_error();
  return absl::OkStatus();
}

}  // namespace

absl::Status UseAccess(SSL_CTX* context, const Access& access) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  MUSTER_RETURN_IF_ERROR(TrustOnly(context, access.ca_pem));
  if (access.certificate_pem.empty() && access.key_pem.empty()) return absl::OkStatus();
  return Show(context, access);
}

absl::Status CheckAccess(const Access& access) {
  const std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> context(SSL_CTX_new(TLS_client_method()));
  if (!context) return base::Internal("OpenSSL gives no context");
  return UseAccess(context.get(), access);
}

}  // namespace muster::kube
