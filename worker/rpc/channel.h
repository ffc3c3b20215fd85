// Inside worker/rpc: where a coordinator may be, and the way there.
#pragma once

#include <memory>
#include <string>

#include "operator/base/status.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace muster::rpc {

// InvalidArgument when `address` is not HOST:PORT with a port from 1 to 65535.
absl::Status CheckAddress(const std::string& address);

// A connection of its own, made anew for every attempt; it begins to connect with the first call.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address);

}  // namespace muster::rpc
