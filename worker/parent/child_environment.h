// The environment of one process of a pod: its parent's, with what differs between the processes. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "operator/base/ids.h"
#include "operator/base/status.h"

namespace muster::parent {

struct ChildId {
  std::int32_t process = 0;    // 0 ... processes - 1
  std::int32_t processes = 1;  // of the pod
  base::MemberId member;
};

// `own`: NAME=value, the parent's. Of these the child has its own:
//   MUSTER_MEMBER        its own id; the parent's is the pod's
//   MUSTER_PROCESS       its number, which is the number of its GPU
//   MUSTER_PROCESSES     left out: it is no parent
//   MUSTER_PARENT_FD     left out: who starts it adds its own (children.h)
//   MUSTER_METRICS_PORT  the pod's, plus its number; -1 (none) and 0 (any free one) stay
//   MUSTER_THREADS       its share of the pod's, at least 1; left out if the pod has none
// InvalidArgument names a variable that is not a number, or a port beyond 65535.
absl::StatusOr<std::vector<std::string>> ChildEnvironment(const std::vector<std::string>& own,
                                                          const ChildId& child);

}  // namespace muster::parent
