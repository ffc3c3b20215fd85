#include "operator/base/pod_members.h"

#include "operator/base/check.h"

namespace muster::base {

MemberId MemberOf(const PodProcess& of, std::int32_t processes) {
  if (processes == 1) return of.pod;
  MUSTER_CHECK(of.process >= 0 && of.process < processes, "a process that the pod does not have");
  MUSTER_CHECK(of.life >= 0 && of.life < kLives, "a life that has no id");
  MUSTER_CHECK(of.pod.incarnation <= kMostPodIncarnation, ToString(of.pod));
  return {of.pod.ordinal * processes + of.process, of.pod.incarnation * kLives + of.life};
}

PodProcess ProcessOf(MemberId member, std::int32_t processes) {
  if (processes == 1) return {member, 0, 0};
  return {{member.ordinal / processes, member.incarnation / kLives},
          member.ordinal % processes,
          member.incarnation % kLives};
}

MemberId PodOf(MemberId member, std::int32_t processes) { return ProcessOf(member, processes).pod; }

}  // namespace muster::base
