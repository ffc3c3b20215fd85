// Whether a reviewed token is that of the member who shows it (design: who may do what). Pure.
#pragma once

#include <string>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "operator/kube/client.h"
#include "operator/kube/projection.h"

namespace muster::kube {

// What a member says of itself.
struct MemberClaim {
  std::string job_uid;
  base::MemberId member;
};

// The pod that the token is bound to. Unauthenticated: the token is none of a pod's, or not for us,
// in the server's words.
struct TokenPod {
  ObjectKey key;
  std::string uid;
  friend bool operator==(const TokenPod&, const TokenPod&) = default;
};
absl::StatusOr<TokenPod> PodOfToken(const TokenReview& review, const std::string& audience);

// `pod` is the one of that name as the cache has it; null: it has none. Unavailable: the cache has
// not heard of this pod yet, or still has the one before it under the same name (a token of a pod
// that is gone passes no review); the member comes again. PermissionDenied says what differs: it
// belongs to another job, or it is another member's. The token of a pod with several processes is good
// for each of them, whatever number and life it has.
absl::Status CheckClaim(const TokenPod& token, const PodRecord* pod, const MemberClaim& claim);

}  // namespace muster::kube
