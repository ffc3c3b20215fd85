#include "worker/comm/tls.h"

#include <openssl/ssl.h>

#include <utility>

#include "operator/runtime/openssl_parts.h"
#include "worker/comm/tls_session.h"

namespace muster::comm {

namespace openssl = runtime::openssl;

struct TlsContext {
  std::unique_ptr<SSL_CTX, openssl::Freed<SSL_CTX_free>> ssl;
  Papers papers;
};

namespace {

// The 128-bit cipher first: both are far beyond guessing, and it is the faster one.
constexpr char kCiphers[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

absl::Status Show(SSL_CTX* context, const runtime::Identity& identity) {
  MUSTER_ASSIGN_OR_RETURN(
      auto chain, openssl::ReadCertificates(identity.certificate_pem, "this member's certificate"));
  MUSTER_ASSIGN_OR_RETURN(const openssl::Key key,
                          openssl::ReadKey(identity.key_pem, "this member's key"));
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1 ||
      SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return openssl::Broken("show this member's certificate");
  }
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) {
      return openssl::Broken("show this member's certificate");
    }
  }
  return absl::OkStatus();
}

absl::Status Believe(SSL_CTX* context, const std::string& bundle_pem) {
  MUSTER_ASSIGN_OR_RETURN(const auto bundle,
                          openssl::ReadCertificates(bundle_pem, "the CA bundle"));
  for (const openssl::Certificate& authority : bundle) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1) {
      return openssl::Broken("believe an authority");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const TlsContext>> MakeContext(Papers papers) {
  auto context = std::make_shared<TlsContext>();
  context->ssl.reset(SSL_CTX_new(TLS_method()));
  SSL_CTX* const ssl = context->ssl.get();
  if (ssl == nullptr || SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(ssl, kCiphers) != 1 || SSL_CTX_set_num_tickets(ssl, 0) != 1) {
    return openssl::Broken("make a TLS context");
  }
  SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                     TlsSession::OnCertificate);
  MUSTER_RETURN_IF_ERROR(Show(ssl, *papers.identity));
  MUSTER_RETURN_IF_ERROR(Believe(ssl, papers.believed_pem));
  context->papers = std::move(papers);
  return context;
}

}  // namespace

Tls::Tls(Options options)
    : options_(std::move(options)), key_updates_(std::make_shared<std::atomic<std::int64_t>>(0)) {}
Tls::~Tls() = default;

absl::StatusOr<std::shared_ptr<const TlsContext>> Tls::Context() {
  absl::StatusOr<Papers> papers = options_.papers();
  if (!papers.ok()) return base::Unavailable(base::Message(papers.status()));
  runtime::MutexLock lock(mutex_);
  if (context_ == nullptr || !(*context_->papers.identity == *papers->identity) ||
      context_->papers.believed_pem != papers->believed_pem) {
    MUSTER_ASSIGN_OR_RETURN(context_, MakeContext(*std::move(papers)));
  }
  return context_;
}

absl::StatusOr<Channel> Tls::Open(UniqueFd fd, bool accepts,
                                  std::optional<base::MemberId> expected) {
  MUSTER_ASSIGN_OR_RETURN(const auto context, Context());
  TlsSession::Options options{fd.get(),           accepts,     options_.job_uid, expected,
                              options_.key_bytes, key_updates_};
  MUSTER_ASSIGN_OR_RETURN(auto session, TlsSession::Create(context->ssl.get(), std::move(options)));
  return Channel(std::move(fd), std::move(session));
}

absl::StatusOr<Channel> Tls::Accept(UniqueFd fd) { return Open(std::move(fd), true, std::nullopt); }
absl::StatusOr<Channel> Tls::Begin(UniqueFd fd, base::MemberId expected) {
  return Open(std::move(fd), false, expected);
}

}  // namespace muster::comm
