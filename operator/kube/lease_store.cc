#include "operator/kube/lease_store.h"

namespace muster::kube {

absl::StatusOr<std::optional<api::Lease>> KubeLeaseStore::Read(base::Duration timeout) {
  const auto json = client_.Get(kLeases, lease_, Call{timeout, {}});
  if (json.status().code() == absl::StatusCode::kNotFound) return std::optional<api::Lease>();
  if (!json.ok()) return json.status();
  MUSTER_ASSIGN_OR_RETURN(api::Lease lease, api::ParseLease(*json));
  return std::optional<api::Lease>(std::move(lease));
}

absl::StatusOr<api::Lease> KubeLeaseStore::Write(const api::Lease& lease, base::Duration timeout) {
  const std::string body = api::LeaseToJson(lease, lease_.ns, lease_.name);
  const Call call{timeout, {}};
  const auto json = lease.resource_version.empty()
                        ? client_.Create(kLeases, lease_.ns, body, false, call)
                        : client_.Replace(kLeases, lease_, body, call);
  if (!json.ok()) return json.status();
  return api::ParseLease(*json);
}

}  // namespace muster::kube
