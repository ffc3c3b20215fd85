// The contract's messages as protobuf and back: the one place that both programs share for gRPC's
// bytes.
//
// ToProto writes every field; FromProto(ToProto(x)) == x. FromProto trusts nothing: InvalidArgument
// names the field that is missing or out of range, and every list has a bound. Values only; safe
// everywhere.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "operator/api/messages.h"
#include "operator/base/status.h"

// Generated from membership.proto; its headers stay inside the files that need them.
namespace muster::membership::v1 {
class MemberFrame;
class CoordinatorFrame;
}  // namespace muster::membership::v1

namespace muster::wire {

// No message may be larger; gRPC is told so at both ends.
inline constexpr int kMaxFrameBytes = 64 << 20;

void ToProto(const api::FromMember& from, membership::v1::MemberFrame* to);
void ToProto(const api::FromCoordinator& from, membership::v1::CoordinatorFrame* to);
absl::StatusOr<api::FromMember> FromProto(const membership::v1::MemberFrame& from);
absl::StatusOr<api::FromCoordinator> FromProto(const membership::v1::CoordinatorFrame& from);

// How many bytes it takes on the wire.
std::size_t FrameBytes(const api::FromMember& message);

// The same as bytes.
std::string Serialise(const api::FromMember& message);
std::string Serialise(const api::FromCoordinator& message);
absl::StatusOr<api::FromMember> ParseFromMember(std::string_view bytes);
absl::StatusOr<api::FromCoordinator> ParseFromCoordinator(std::string_view bytes);

}  // namespace muster::wire
