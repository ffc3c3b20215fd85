// coordination.k8s.io/v1 Lease, as far as an election needs it. Values only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::api {

struct Lease {
  std::string holder;            // empty: nobody has it
  std::string resource_version;  // empty: it does not exist yet
  std::int32_t duration_seconds = 0;
  std::int32_t transitions = 0;  // how often the holder changed
  // For people: the clocks of two machines are not compared.
  std::optional<base::WallTime> acquire_time = std::nullopt;
  std::optional<base::WallTime> renew_time = std::nullopt;
  // Empty: it does not exist yet. With it a replace of a Lease that was deleted is a conflict; an
  // API server would make it anew by its old version alone.
  std::string uid = {};
  friend bool operator==(const Lease&, const Lease&) = default;
};

// The whole object for a create or a replace; without a resource version when it is empty. Times
// have microseconds, all six digits, because Kubernetes reads no other number of them.
std::string LeaseToJson(const Lease& lease, std::string_view name_space, std::string_view name);
// InvalidArgument names the field that is wrong.
absl::StatusOr<Lease> ParseLease(std::string_view json);

}  // namespace muster::api
