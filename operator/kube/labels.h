// The labels by which the operator knows its own, in one place. Literals only.
#pragma once

namespace muster::kube {

inline constexpr char kJobNameLabel[] = "muster.dev/job-name";
inline constexpr char kJobUidLabel[] = "muster.dev/job-uid";
// ORDINAL.INCARNATION: which member, or the first of several in one pod.
inline constexpr char kMemberLabel[] = "muster.dev/member";
inline constexpr char kManagedByLabel[] = "app.kubernetes.io/managed-by";
inline constexpr char kComponentLabel[] = "app.kubernetes.io/component";
inline constexpr char kManagedBy[] = "muster";
inline constexpr char kWorkerComponent[] = "worker";

// What scopes the informer of pods.
inline constexpr char kWorkerPodSelector[] =
    "app.kubernetes.io/managed-by=muster,app.kubernetes.io/component=worker";

// The container of a worker pod that is ours; without one of this name it is the first.
inline constexpr char kWorkerContainer[] = "worker";

inline constexpr char kZoneLabel[] = "topology.kubernetes.io/zone";

}  // namespace muster::kube
