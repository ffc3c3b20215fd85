#include "operator/kube/token_check.h"

#include <algorithm>

#include "operator/base/pod_members.h"

namespace muster::kube {
namespace {

constexpr char kPodName[] = "authentication.kubernetes.io/pod-name";
constexpr char kPodUid[] = "authentication.kubernetes.io/pod-uid";
constexpr std::string_view kAccountPrefix = "system:serviceaccount:";

std::string OnlyExtra(const TokenReview& review, const char* key) {
  const auto at = review.extra.find(key);
  return at == review.extra.end() || at->second.size() != 1 ? "" : at->second.front();
}

absl::Status Denied(const std::string& sentence) { return absl::PermissionDeniedError(sentence); }

}  // namespace

absl::StatusOr<TokenPod> PodOfToken(const TokenReview& review, const std::string& audience) {
  if (!review.authenticated) {
    return absl::UnauthenticatedError(
        "the API server does not accept the token: " +
        (review.error.empty() ? std::string("it gives no reason") : review.error));
  }
  if (std::ranges::find(review.audiences, audience) == review.audiences.end()) {
    return absl::UnauthenticatedError("the token is not for the audience " + audience);
  }
  const std::string_view user = review.username;
  if (!user.starts_with(kAccountPrefix)) {
    return absl::UnauthenticatedError("the token is not a service account's but " +
                                      review.username + "'s");
  }
  const std::string_view rest = user.substr(kAccountPrefix.size());
  TokenPod pod;
  pod.key = {std::string(rest.substr(0, rest.find(':'))), OnlyExtra(review, kPodName)};
  pod.uid = OnlyExtra(review, kPodUid);
  if (pod.key.name.empty() || pod.uid.empty()) {
    return absl::UnauthenticatedError("the token is bound to no pod");
  }
  return pod;
}

absl::Status CheckClaim(const TokenPod& token, const PodRecord* pod, const MemberClaim& claim) {
  const std::string name = "pod " + ToString(token.key);
  if (pod == nullptr) {
    return base::Unavailable(name + ", whose token it is, is not known as a worker yet");
  }
  if (pod->pod.uid != token.uid) {
    return base::Unavailable(name + " has uid " + pod->pod.uid + ", the token is that of " +
                             token.uid + ": one of them is older");
  }
  if (pod->controller_uid != claim.job_uid) {
    return Denied(name + " belongs to the job with uid " + pod->controller_uid + ", not to " +
                  claim.job_uid);
  }
  if (base::PodOf(claim.member, pod->processes) != pod->pod.member) {
    const std::string own = pod->processes == 1 ? " is member " : " has the members of ";
    return Denied(name + own + base::ToString(pod->pod.member) + ", not " +
                  base::ToString(claim.member));
  }
  return absl::OkStatus();
}

}  // namespace muster::kube
