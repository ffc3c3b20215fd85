// One TLS connection over a socket that somebody else owns: what Channel does when it is not plain.
// Private to this folder; OpenSSL stays in the .cc.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "operator/api/member_uri.h"
#include "operator/base/status.h"

struct ssl_st;
struct ssl_ctx_st;
struct x509_store_ctx_st;

namespace muster::comm {

class TlsSession {
 public:
  struct Options {
    int fd = -1;
    bool accepts = false;
    std::string job_uid;
    std::optional<base::MemberId> expected;  // nullopt: any member of the job
    std::uint64_t key_bytes = 0;
    std::shared_ptr<std::atomic<std::int64_t>> key_updates;
  };
  static absl::StatusOr<std::unique_ptr<TlsSession>> Create(ssl_ctx_st* context, Options options);
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // As Channel's. Whatever broke or ended it is said again by every later call.
  ssize_t Read(std::span<std::byte> into);
  ssize_t Write(std::span<const std::byte> from);
  short read_waits_for() const { return read_waits_for_; }
  short write_waits_for() const { return write_waits_for_; }
  bool buffered() const;
  const std::string& trouble() const { return trouble_; }
  bool refused() const { return !refusal_.empty(); }
  const api::JobMember* peer() const;

  // OpenSSL's question about each certificate of the peer's chain (SSL_set_verify).
  static int OnCertificate(int good, x509_store_ctx_st* chain);

 private:
  // The socket below. Both ways through a buffer: OpenSSL takes a record's header and its body one by
  // one, and sends each record for itself; a call into the kernel costs as much as a record does.
  struct Wire {
    int fd = -1;
    int error = 0;         // what the socket said last
    std::vector<char> in;  // made by the first read; [in_at, in_end) is not taken yet
    std::size_t in_at = 0, in_end = 0;
    std::vector<char> out;  // records; from out_at on not sent yet
    std::size_t out_at = 0;
    bool gathers = false;  // records are kept for the next Flush
  };
  friend struct WireBio;
  struct Free {
    void operator()(ssl_st* ssl) const;
  };

  explicit TlsSession(Options options) : options_(std::move(options)) { wire_.fd = options_.fd; }
  void TakeNextKey();
  std::size_t Encrypt(std::span<const std::byte> from);
  bool Flush();
  ssize_t Stopped(int result, short* waits_for);
  ssize_t SayEnd(bool reading) const;
  bool Judge(bool good, x509_store_ctx_st* chain);

  const Options options_;
  Wire wire_;
  std::unique_ptr<ssl_st, Free> ssl_;
  short read_waits_for_ = POLLIN;
  short write_waits_for_ = POLLOUT;
  // Bytes of the caller's that are encrypted and not sent as a whole yet: it has not been told of
  // them, and passes them again.
  std::size_t owed_ = 0;
  std::uint64_t since_next_key_ = 0;  // bytes sent under this key
  std::optional<api::JobMember> peer_;
  std::string refusal_;  // why this end does not believe the peer
  std::string trouble_;
  int broken_ = 0;      // errno of what broke it
  bool ended_ = false;  // the peer has closed
};

}  // namespace muster::comm
