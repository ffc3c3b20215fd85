// The coordinator's end of the streams: one bidirectional gRPC stream a member.
//
// Thread rule: everything is safe from every thread. The callbacks run on gRPC's threads, at most
// one at a time for one stream and several at once for different streams; they must return quickly
// (push to a queue) and may call Send and CloseStream. Invariants: stream ids grow from 1 and are
// never used again. For each stream on_open is called once and first, on_message in the order of
// sending, and on_closed exactly once, after the last on_message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "operator/api/member_uri.h"
#include "operator/api/messages.h"
#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::rpc {

using StreamId = std::uint64_t;

// What the coordinator shows to who connects, and whose certificates it believes. A member that has
// one shows it and it is verified; who has none may still come, because the first contact has only
// a token.
struct ServerTls {
  std::string chain_pem;  // the coordinator's leaf first
  std::string key_pem;
  std::string client_ca_pem;  // one or several authorities
  friend bool operator==(const ServerTls&, const ServerTls&) = default;
};

class MembershipServer final {
 public:
  struct Options {
    // HOST:PORT; port 0: any free one. The port may be held by a parent process that bound it with
    // SO_REUSEPORT and does not listen, so that it stays ours while no coordinator runs.
    std::string address = "127.0.0.1:0";
    // May be null. With whom the peer's verified certificate speaks for; nothing: it has none.
    std::function<void(StreamId, std::optional<api::JobMember>)> on_open = nullptr;
    std::function<void(StreamId, api::FromMember)> on_message = nullptr;
    std::function<void(StreamId)> on_closed = nullptr;
    // Nothing: plain text, for the loopback interface alone (docs/security.md).
    std::optional<ServerTls> tls = std::nullopt;
    // gRPC -> member, per stream, behind the one write in flight. When full: the stream is cut and
    // counted; the member reconnects and greets anew, so nothing it needs is lost.
    std::size_t send_queue = 1024;
  };
  struct Counts {
    std::uint64_t opened = 0;
    std::uint64_t closed = 0;
    std::uint64_t cut_slow = 0;       // send queue full
    std::uint64_t cut_malformed = 0;  // a message that does not convert
    std::uint64_t nameless = 0;       // a verified certificate that names no member
  };

  // Listens at once. Unavailable names the address that could not be bound; InvalidArgument says
  // what of the certificates cannot be used.
  static absl::StatusOr<std::unique_ptr<MembershipServer>> Create(Options options);
  ~MembershipServer();  // Shutdown with half a second, if it was not called
  MembershipServer(const MembershipServer&) = delete;
  MembershipServer& operator=(const MembershipServer&) = delete;

  int port() const;

  // Queues a message. False: the stream is gone or going, or it was just cut because its queue is
  // full.
  bool Send(StreamId stream, const api::FromCoordinator& message);
  // Ends the stream after what was queued before it. A no-op for a stream that is gone.
  void CloseStream(StreamId stream);
  // The same, and its last word is this code and sentence.
  void EndStream(StreamId stream, const absl::Status& why);
  // Every handshake from now on takes these; streams that are open stay as they are
  // (docs/decisions/0007-certificates.md). InvalidArgument, and nothing changes: one of them cannot
  // be used, or this server has no TLS.
  absl::Status RenewTls(ServerTls tls);
  // Stops listening, gives the streams until `deadline` from now to take what is queued, cuts the
  // rest. When it returns all on_closed have been called and no callback runs. Idempotent.
  void Shutdown(base::Duration deadline);

  Counts counts() const;

 private:
  struct Impl;
  explicit MembershipServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::rpc
