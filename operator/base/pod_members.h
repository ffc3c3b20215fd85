// Which member is whose process: pods with several processes (docs/decisions/0009-several-processes.md).
//
// A pod has an id of its own, ORDINAL.INCARNATION, which is never used twice. Each of its processes is a
// member, and so is each process that takes a dead one's place. Their ids follow from the pod's, so
// that a parent makes them without asking anybody:
//
//   member's ordinal     = pod's ordinal x processes + process
//   member's incarnation = pod's incarnation x kLives + life
//
// A pod of one process is its member: both ids are the same, and it has one life.
//
// Invariants: ids of different pods, processes or lives differ; PodOf and ProcessOf take back what
// MemberOf made; a later life, and any life of a later pod of the same ordinal, compares as later.
#pragma once

#include <cstdint>

#include "operator/base/ids.h"

namespace muster::base {

// Lives of one process of one pod. The last is never begun: as an id it stands for the pod itself, where
// a pod is written down among members.
inline constexpr std::int32_t kLives = 1000;
inline constexpr std::int32_t kPodLife = kLives - 1;
// A pod of several processes has no higher incarnation: its members' would not fit.
inline constexpr std::int32_t kMostPodIncarnation = INT32_MAX / kLives - 1;

struct PodProcess {
  MemberId pod;
  std::int32_t process = 0;  // 0 ... processes - 1
  std::int32_t life = 0;     // 0 ... kLives - 1; always 0 in a pod of one process
  friend constexpr auto operator<=>(const PodProcess&, const PodProcess&) = default;
};

// Ids beyond what fits are cut to it.
MemberId MemberOf(const PodProcess& of, std::int32_t processes);
PodProcess ProcessOf(MemberId member, std::int32_t processes);
MemberId PodOf(MemberId member, std::int32_t processes);
// The pod itself among members' ids: with one process its member, else kPodLife.
MemberId PodItself(MemberId pod, std::int32_t processes);

}  // namespace muster::base
