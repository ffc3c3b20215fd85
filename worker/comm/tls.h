// TLS 1.3 between members, both ends with a certificate: who is let in, and as whom.
//
// A peer is believed when one of the authorities of this moment vouches for its leaf, the leaf has
// not expired, and it speaks for a member of this job (`muster://job/<uid>/member/<m>`): whoever
// dials says which one, whoever accepts compares it with the greeting. The certificate and the
// authorities are asked for before each handshake; connections that are open keep their keys. No
// tickets, no resumption, no renegotiation; keys are replaced after a number of bytes
// (docs/decisions/0008).
//
// Thread rule: every method from any thread. One mutex guards the context that is kept while the
// papers stay the same.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "operator/runtime/certificates.h"
#include "operator/runtime/mutex.h"
#include "worker/comm/channel.h"
#include "worker/comm/socket.h"

namespace muster::comm {

// What a member shows, and the authorities whom it believes, as PEM.
struct Papers {
  std::shared_ptr<const runtime::Identity> identity;
  std::string believed_pem;
};

struct TlsContext;  // tls.cc

class Tls {
 public:
  struct Options {
    std::string job_uid;
    // From any thread, before each handshake; not OK: there is none, and the sentence says why.
    std::function<absl::StatusOr<Papers>()> papers;
    // After so many bytes a sender takes its next key. AES-GCM is good for 2^24.5 records of 16 KiB
    // under one key (RFC 8446, 5.5), which a large ring sends within an hour.
    std::uint64_t key_bytes = std::uint64_t{1} << 37;
  };
  explicit Tls(Options options);
  ~Tls();
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  // Nothing is sent yet: the handshake is part of the first reads and writes. Unavailable: this
  // member has no papers.
  absl::StatusOr<Channel> Accept(UniqueFd fd);
  absl::StatusOr<Channel> Begin(UniqueFd fd, base::MemberId expected);

  // How often a sender took its next key.
  std::int64_t key_updates() const { return key_updates_->load(); }

 private:
  absl::StatusOr<Channel> Open(UniqueFd fd, bool accepts, std::optional<base::MemberId> expected);
  absl::StatusOr<std::shared_ptr<const TlsContext>> Context();

  const Options options_;
  const std::shared_ptr<std::atomic<std::int64_t>> key_updates_;
  runtime::Mutex mutex_;
  std::shared_ptr<const TlsContext> context_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::comm
