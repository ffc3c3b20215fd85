// Members summed up by their pods: what a plan sees of a job whose pods have several processes
// (docs/decisions/0009-several-processes.md). Values only.
#pragma once

#include <cstdint>

#include "operator/base/pod_members.h"
#include "operator/job/observed.h"

namespace muster::job {

// Whatever names members, by the ids of their pods, in the order of their first members:
//   members     in the view if one of them is; leaving if one is and still has to be let go; released
//               if all that are known are
//   evicted     when each of its processes was, and none of its members is known; with the last one's
//               reason, and since then
//   last_words  of its latest member
//   lost_processes  evicted members of the other pods
// Counts (size, reached) stay those of members. With one process nothing changes.
MembershipView ByPods(MembershipView members, std::int32_t processes);

// Under what id the loss of a pod is written down in status.failures, where members' ids are: with one
// process the pod's, else one that no member has.
base::MemberId LossId(base::MemberId pod, std::int32_t processes);

}  // namespace muster::job
