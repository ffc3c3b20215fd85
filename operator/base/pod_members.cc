#include "operator/base/pod_members.h"

#include <algorithm>

#include "operator/base/check.h"

namespace muster::base {

MemberId MemberOf(const PodProcess& of, std::int32_t processes) {
  if (processes == 1) return of.pod;
  MUSTER_CHECK(of.process >= 0 && of.process < processes, "a process that the pod does not have");
  MUSTER_CHECK(of.life >= 0 && of.life < kLives, "a life that has no id");
  // A pod's id may come from a label that somebody made up: it must not run over.
  const std::int32_t ordinal = std::min(of.pod.ordinal, INT32_MAX / processes - 1);
  const std::int32_t incarnation = std::min(of.pod.incarnation, kMostPodIncarnation);
  return {ordinal * processes + of.process, incarnation * kLives + of.life};
}

PodProcess ProcessOf(MemberId member, std::int32_t processes) {
  if (processes == 1) return {member, 0, 0};
  return {{member.ordinal / processes, member.incarnation / kLives},
          member.ordinal % processes,
          member.incarnation % kLives};
}

MemberId PodOf(MemberId member, std::int32_t processes) { return ProcessOf(member, processes).pod; }

MemberId PodItself(MemberId pod, std::int32_t processes) {
  return MemberOf({pod, 0, processes == 1 ? 0 : kPodLife}, processes);
}

}  // namespace muster::base
