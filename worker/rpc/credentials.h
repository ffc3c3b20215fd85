// What a member shows to the coordinator and to its neighbours, and whom it believes.
//
//   MUSTER_TOKEN_FILE --Token()-----> Hello            read anew for each: the kubelet rotates it
//   MUSTER_CA_FILE ---Believed()----> TLS handshakes   read anew for each attempt
//   Certificate ------Take()--------> Current(), Believed()     in memory, gone with the process
//
// Thread rule: safe from every thread; Token and Believed read a small file. Invariants: a key is
// made here and never leaves but through Current(); what Current() returns is a pair that belongs
// together, and is replaced as a whole.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "operator/api/messages.h"
#include "operator/base/status.h"
#include "operator/base/time.h"
#include "operator/runtime/certificates.h"
#include "operator/runtime/mutex.h"

namespace muster::rpc {

class Credentials final {
 public:
  struct Options {
    std::string token;       // either this
    std::string token_file;  // or that
    std::string ca_file;     // empty: plain text, and no certificate
  };
  // InvalidArgument: both or neither of the tokens, or a token file without a CA file (what is good
  // for joining is not sent in plain text). The files are not read yet.
  static absl::StatusOr<std::unique_ptr<Credentials>> Create(Options options);
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  bool tls() const { return !options_.ca_file.empty(); }

  // Without white space around it. Not OK: the file cannot be read, or is empty.
  absl::StatusOr<std::string> Token() const;

  // The authorities in the CA file and those that the coordinator sent last. Either may be ahead:
  // a mounted ConfigMap follows within a minute, and a stream may have been away when a new bundle
  // was sent.
  absl::StatusOr<std::string> Believed() const;

  // The newest certificate with its key; null before the first, and once it has expired.
  std::shared_ptr<const runtime::Identity> Current(base::WallTime now) const;

  // ---- for the client of the stream (client.h)

  // Is a certificate to be asked for? Not before the last question is `patience` old, and not
  // before it is time to renew the current one. `jitter` is drawn once, when one is taken.
  bool Due(base::WallTime now) const;
  // The same, and true for one of those who ask at once: that one calls Ask.
  bool BeginAsking(base::WallTime now);
  // A new stream: what was asked on the old one is not answered any more. Where the certificate was
  // not shown, because with it there was no way in, another one is due.
  void OnStream(bool shown);
  // Makes a key; its request, to be sent now.
  absl::StatusOr<api::CertificateRequest> Ask(base::WallTime now);
  // InvalidArgument, and nothing changes: the chain is not of the key that was asked for last, or
  // one of the texts cannot be read.
  absl::Status Take(const api::Certificate& certificate, base::WallTime now, double jitter);

 private:
  explicit Credentials(Options options);

  bool IsDue(base::WallTime now) const MUSTER_REQUIRES(mutex_);

  const Options options_;
  mutable runtime::Mutex mutex_;
  std::shared_ptr<const runtime::Identity> current_ MUSTER_GUARDED_BY(mutex_);
  base::WallTime expires_ MUSTER_GUARDED_BY(mutex_);
  base::WallTime renew_ MUSTER_GUARDED_BY(mutex_);
  std::string sent_bundle_ MUSTER_GUARDED_BY(mutex_);
  std::string pending_key_ MUSTER_GUARDED_BY(mutex_);
  std::optional<base::WallTime> asked_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::rpc
