// The elector's Lease on an API server: LeaseStore over Client.
//
// Used by one thread, the elector's talking one.
#pragma once

#include "operator/kube/client.h"
#include "operator/kube/elector.h"

namespace muster::kube {

class KubeLeaseStore final : public LeaseStore {
 public:
  // `client` outlives it. Nothing is asked before the first call.
  KubeLeaseStore(const Client& client, ObjectKey lease)
      : client_(client), lease_(std::move(lease)) {}

  absl::StatusOr<std::optional<api::Lease>> Read(base::Duration timeout) override;
  absl::StatusOr<api::Lease> Write(const api::Lease& lease, base::Duration timeout) override;

 private:
  const Client& client_;
  const ObjectKey lease_;
};

}  // namespace muster::kube
