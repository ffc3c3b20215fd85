// Inside worker/rpc: the way to a coordinator.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "operator/runtime/certificates.h"
#include "worker/rpc/resolver.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace muster::rpc {

// What one attempt believes and shows over TLS.
struct Handshake {
  std::string believed_pem;
  std::shared_ptr<const runtime::Identity> shown;  // null: no certificate yet
};

// A connection of its own, made anew for every attempt; it begins to connect with the first call.
// Nothing: plain text.
std::shared_ptr<grpc::Channel> MakeChannel(const Endpoint& endpoint,
                                           const std::optional<Handshake>& tls);

}  // namespace muster::rpc
