// OpenSSL's objects with owners, its errors as statuses, PEM both ways. For the .cc files of
// operator/runtime and worker/comm; no header includes it.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/status.h"

namespace muster::runtime::openssl {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* thing) const {
    Free(thing);
  }
};
inline void FreeNames(GENERAL_NAMES* names) { GENERAL_NAMES_free(names); }
inline void FreeStack(STACK_OF(X509) * stack) { sk_X509_pop_free(stack, X509_free); }

using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using CertificateStack = std::unique_ptr<STACK_OF(X509), Freed<FreeStack>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Freed<FreeNames>>;
using SigningRequest = std::unique_ptr<X509_REQ, Freed<X509_REQ_free>>;
using Store = std::unique_ptr<X509_STORE, Freed<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Freed<X509_STORE_CTX_free>>;

// OpenSSL could not do what it should always be able to; takes its reason off its queue.
inline absl::Status Broken(const std::string& what) {
  char text[256] = "no reason given";
  if (const unsigned long error = ERR_get_error(); error != 0) {
    ERR_error_string_n(error, text, sizeof(text));
  }
  ERR_clear_error();
  return base::Internal("OpenSSL cannot " + what + ": " + text);
}

// What came from outside cannot be used.
inline absl::Status Unusable(const std::string& sentence) {
  ERR_clear_error();
  return base::InvalidArgument(sentence);
}

inline Bio Reader(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// A password would be asked for on a terminal: there is none.
inline int NoPassword(char*, int, int, void*) { return -1; }

inline absl::StatusOr<std::vector<Certificate>> ReadCertificates(std::string_view pem,
                                                                 const std::string& what) {
  const Bio reader = Reader(pem);
  std::vector<Certificate> all;
  while (true) {
    Certificate next(PEM_read_bio_X509(reader.get(), nullptr, NoPassword, nullptr));
    if (!next) break;
    all.push_back(std::move(next));
  }
  // At the end of the text there is "no start line"; anything else is a certificate that is broken.
  const unsigned long error = ERR_peek_last_error();
  const bool ended =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (all.empty()) return base::InvalidArgument(what + " is not a certificate in PEM");
  if (!ended) return base::InvalidArgument(what + " has a certificate that cannot be read");
  return all;
}

inline absl::StatusOr<Key> ReadKey(std::string_view pem, const std::string& what) {
  const Bio reader = Reader(pem);
  Key key(PEM_read_bio_PrivateKey(reader.get(), nullptr, NoPassword, nullptr));
  if (!key) return Unusable(what + " is not a private key in PEM without a password");
  return key;
}

// The text of what `write` puts into a memory buffer.
template <typename Write>
absl::StatusOr<std::string> ToPem(const std::string& what, const Write& write) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || write(bio.get()) != 1) return Broken("write " + what);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

inline absl::StatusOr<std::string> CertificateToPem(X509* certificate) {
  return ToPem("a certificate", [&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

inline absl::StatusOr<std::string> KeyToPem(EVP_PKEY* key) {
  return ToPem("a key", [&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

}  // namespace muster::runtime::openssl
