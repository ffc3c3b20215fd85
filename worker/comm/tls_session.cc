#include "worker/comm/tls_session.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "operator/runtime/certificates.h"
#include "operator/runtime/openssl_parts.h"

namespace muster::comm {

namespace openssl = runtime::openssl;

namespace {

// What a call reads or writes at most, so that an abort is seen between two calls: four records.
constexpr std::size_t kBatchBytes = std::size_t{64} << 10;
constexpr int kSend = MSG_NOSIGNAL | MSG_DONTWAIT;

}  // namespace

// OpenSSL's own BIO for sockets calls write(), and a peer that is gone would end this process by
// SIGPIPE.
struct WireBio {
  static TlsSession::Wire& Of(BIO* bio) {
    return *static_cast<TlsSession::Wire*>(BIO_get_data(bio));
  }
  static int Read(BIO* bio, char* into, int size) {
    TlsSession::Wire& wire = Of(bio);
    BIO_clear_retry_flags(bio);
    if (wire.in_at == wire.in_end) {
      wire.in.resize(kBatchBytes);
      const ssize_t n = recv(wire.fd, wire.in.data(), wire.in.size(), MSG_DONTWAIT);
      wire.in_at = 0;
      wire.in_end = n > 0 ? static_cast<std::size_t>(n) : 0;
      if (n <= 0) return Settle(bio, static_cast<int>(n), BIO_FLAGS_READ);
    }
    const std::size_t n = std::min(static_cast<std::size_t>(size), wire.in_end - wire.in_at);
    std::memcpy(into, wire.in.data() + wire.in_at, n);
    wire.in_at += n;
    return static_cast<int>(n);
  }
  static int Write(BIO* bio, const char* from, int size) {
    TlsSession::Wire& wire = Of(bio);
    BIO_clear_retry_flags(bio);
    const auto bytes = static_cast<std::size_t>(size);
    if (wire.gathers || !wire.out.empty()) {
      wire.out.insert(wire.out.end(), from, from + bytes);
      return size;
    }
    return Settle(bio, static_cast<int>(send(wire.fd, from, bytes, kSend)), BIO_FLAGS_WRITE);
  }
  static int Settle(BIO* bio, int n, int direction) {
    if (n >= 0) return n;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
      BIO_set_flags(bio, direction | BIO_FLAGS_SHOULD_RETRY);
    } else {
      Of(bio).error = errno;
    }
    return -1;
  }
  static long Control(BIO*, int what, long, void*) { return what == BIO_CTRL_FLUSH ? 1 : 0; }

  // One method for the process, never freed: sessions may outlive everything but it.
  static const BIO_METHOD* Method() {
    static const BIO_METHOD* const method = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "data plane");
      if (made == nullptr || BIO_meth_set_read(made, Read) != 1 ||
          BIO_meth_set_write(made, Write) != 1 || BIO_meth_set_ctrl(made, Control) != 1) {
        BIO_meth_free(made);
        made = nullptr;
      }
      return made;
    }();
    return method;
  }
};

namespace {

// What OpenSSL says of a handshake or a record that failed, as half a sentence about the peer.
std::string Describe(unsigned long error) {
  const int reason = ERR_GET_REASON(error);
  const char* text = ERR_reason_error_string(error);
  const std::string words = text == nullptr ? "no reason given" : text;
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return "TLS with it failed: " + words;
  if (reason > SSL_AD_REASON_OFFSET) return "it refused this member's handshake: " + words;
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "it shows no certificate";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNEXPECTED_MESSAGE:
      return "it does not speak TLS 1.3 (" + words + ")";
    default:
      return "TLS with it failed: " + words;
  }
}

}  // namespace

void TlsSession::Free::operator()(ssl_st* ssl) const { SSL_free(ssl); }

absl::StatusOr<std::unique_ptr<TlsSession>> TlsSession::Create(ssl_ctx_st* context,
                                                               Options options) {
  std::unique_ptr<TlsSession> session(new TlsSession(std::move(options)));
  session->ssl_.reset(SSL_new(context));
  openssl::Bio bio(WireBio::Method() == nullptr ? nullptr : BIO_new(WireBio::Method()));
  if (!session->ssl_ || !bio || SSL_set_app_data(session->ssl_.get(), session.get()) != 1) {
    return openssl::Broken("make a TLS session");
  }
  BIO_set_data(bio.get(), &session->wire_);
  BIO_set_init(bio.get(), 1);
  SSL* const ssl = session->ssl_.get();
  BIO* const both = bio.release();
  SSL_set_bio(ssl, both, both);
  if (session->options_.accepts) {
    SSL_set_accept_state(ssl);
  } else {
    SSL_set_connect_state(ssl);
  }
  return session;
}

bool TlsSession::buffered() const {
  return wire_.in_at < wire_.in_end || SSL_has_pending(ssl_.get()) == 1;
}

const api::JobMember* TlsSession::peer() const {
  return peer_ && SSL_is_init_finished(ssl_.get()) ? &*peer_ : nullptr;
}

ssize_t TlsSession::Read(std::span<std::byte> into) {
  if (broken_ != 0 || ended_) return SayEnd(true);
  into = into.first(std::min(into.size(), kBatchBytes));
  std::size_t total = 0;
  while (total < into.size()) {
    ERR_clear_error();
    std::size_t n = 0;
    const int result = SSL_read_ex(ssl_.get(), into.data() + total, into.size() - total, &n);
    if (result == 1) {
      total += n;
      continue;
    }
    const ssize_t stopped = Stopped(result, &read_waits_for_);
    if (total > 0) break;  // what came counts; the rest is said by the next call
    return stopped < 0 ? stopped : SayEnd(true);
  }
  return static_cast<ssize_t>(total);
}

ssize_t TlsSession::Write(std::span<const std::byte> from) {
  if (broken_ != 0 || ended_) return SayEnd(false);
  if (owed_ == 0) {
    owed_ = Encrypt(from.first(std::min(from.size(), kBatchBytes)));
    if (owed_ == 0 && !from.empty()) return broken_ != 0 || ended_ ? SayEnd(false) : -1;
  }
  if (!Flush()) return broken_ != 0 ? SayEnd(false) : -1;
  since_next_key_ += owed_;
  return static_cast<ssize_t>(std::exchange(owed_, 0));
}

// How much of it is among the records to be sent; 0: it is blocked by the handshake, or broken.
std::size_t TlsSession::Encrypt(std::span<const std::byte> from) {
  TakeNextKey();
  std::size_t total = 0;
  while (total < from.size()) {
    // A handshake's messages go out at once; who reads them is waited for here.
    wire_.gathers = SSL_is_init_finished(ssl_.get()) == 1;
    ERR_clear_error();
    std::size_t n = 0;
    const int result = SSL_write_ex(ssl_.get(), from.data() + total, from.size() - total, &n);
    wire_.gathers = false;
    if (result == 1) {
      total += n;
      continue;
    }
    if (Stopped(result, &write_waits_for_) < 0) errno = EAGAIN;
    break;
  }
  return total;
}

// True: nothing is left to send. Otherwise EAGAIN, or it is broken.
bool TlsSession::Flush() {
  while (wire_.out_at < wire_.out.size()) {
    const ssize_t n =
        send(wire_.fd, wire_.out.data() + wire_.out_at, wire_.out.size() - wire_.out_at, kSend);
    if (n < 0) {
      const bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
      if (!later) broken_ = errno;
      write_waits_for_ = POLLOUT;
      errno = EAGAIN;
      return false;
    }
    wire_.out_at += static_cast<std::size_t>(n);
  }
  wire_.out.clear();
  wire_.out_at = 0;
  return true;
}

// The peer is told in the stream itself and answers nothing.
void TlsSession::TakeNextKey() {
  if (since_next_key_ < options_.key_bytes) return;
  if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) != 1) return;
  since_next_key_ = 0;
  options_.key_updates->fetch_add(1);
}

// -1 with EAGAIN where it goes on later; otherwise 0, and SayEnd tells how it ended.
ssize_t TlsSession::Stopped(int result, short* waits_for) {
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
    *waits_for = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    errno = EAGAIN;
    return -1;
  }
  const unsigned long reason = ERR_peek_error();
  if (refused()) {
    broken_ = EACCES;
    trouble_ = refusal_;
  } else if (reason == 0 && wire_.error != 0) {
    broken_ = wire_.error;
  } else if (reason == 0 || (ERR_GET_LIB(reason) == ERR_LIB_SSL &&
                             ERR_GET_REASON(reason) == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
    // Every length of this protocol is told beforehand: an end without TLS's own goodbye cuts
    // nothing off that would not be missed.
    ended_ = true;
  } else {
    broken_ = EPROTO;
    trouble_ = Describe(reason);
  }
  ERR_clear_error();
  return 0;
}

ssize_t TlsSession::SayEnd(bool reading) const {
  if (ended_ && reading) return 0;
  errno = ended_ ? EPIPE : broken_;
  return -1;
}

int TlsSession::OnCertificate(int good, x509_store_ctx_st* chain) {
  auto* const ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* const session = static_cast<TlsSession*>(SSL_get_app_data(ssl));
  return session->Judge(good == 1, chain) ? 1 : 0;
}

bool TlsSession::Judge(bool good, x509_store_ctx_st* chain) {
  const int depth = X509_STORE_CTX_get_error_depth(chain);
  if (good && depth > 0) return true;  // the leaf is asked about last
  const int error = X509_STORE_CTX_get_error(chain);
  const auto pem = openssl::CertificateToPem(X509_STORE_CTX_get0_cert(chain));
  const auto who = pem.ok() ? runtime::ReadMember(*pem) : pem.status();
  const std::string shown =
      "it shows a certificate of " + (who.ok() ? api::ToString(*who) : std::string("no member"));
  if (!good) {
    refusal_ = shown + ", which is not believed: " + X509_verify_cert_error_string(error);
    return false;
  }
  if (!who.ok()) {
    refusal_ = shown + ": " + base::Message(who.status());
  } else if (who->job_uid != options_.job_uid) {
    refusal_ = shown + ", and this member is of job " + options_.job_uid.substr(0, 64);
  } else if (options_.expected && who->member != *options_.expected) {
    refusal_ = shown + ", and not of member " + base::ToString(*options_.expected);
  } else {
    peer_ = *who;
    return true;
  }
  X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
  return false;
}

}  // namespace muster::comm
