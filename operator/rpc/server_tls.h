// Inside operator/rpc: which certificate and authorities the next TLS handshake takes.
//
// Thread rule: safe from every thread. Invariant: it outlives every server that was given its
// credentials; what is set is usable, so a handshake never finds nothing.
#pragma once

#include <cstdint>
#include <memory>

#include "operator/base/status.h"
#include "operator/rpc/server.h"
#include "operator/runtime/mutex.h"

struct grpc_ssl_server_certificate_config;

namespace grpc {
class ServerCredentials;
}  // namespace grpc

namespace muster::rpc {

class HandshakeKeys final {
 public:
  // InvalidArgument says what cannot be used.
  static absl::StatusOr<std::unique_ptr<HandshakeKeys>> Create(ServerTls tls);
  HandshakeKeys(const HandshakeKeys&) = delete;
  HandshakeKeys& operator=(const HandshakeKeys&) = delete;

  absl::Status Set(ServerTls tls);
  // For one server.
  std::shared_ptr<grpc::ServerCredentials> MakeCredentials();

  // gRPC's question before each handshake: null when nothing has changed since it last asked.
  grpc_ssl_server_certificate_config* Changed();

 private:
  HandshakeKeys() = default;

  runtime::Mutex mutex_;
  ServerTls tls_ MUSTER_GUARDED_BY(mutex_);
  std::uint64_t version_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::uint64_t given_ MUSTER_GUARDED_BY(mutex_) = 0;
};

}  // namespace muster::rpc
