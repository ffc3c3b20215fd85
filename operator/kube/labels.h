// The labels by which the operator knows its own, in one place.
#pragma once

#include <string>

namespace muster::kube {

inline constexpr char kJobNameLabel[] = "muster.dev/job-name";
inline constexpr char kJobUidLabel[] = "muster.dev/job-uid";
// ORDINAL.INCARNATION: the pod's id, which with one process is its member's.
inline constexpr char kMemberLabel[] = "muster.dev/member";
// How many processes it runs, each of them a member; no label: one.
inline constexpr char kProcessesLabel[] = "muster.dev/processes";
inline constexpr char kManagedByLabel[] = "app.kubernetes.io/managed-by";
inline constexpr char kComponentLabel[] = "app.kubernetes.io/component";
inline constexpr char kManagedBy[] = "muster";
inline constexpr char kWorkerComponent[] = "worker";

// What scopes the informer of pods.
inline constexpr char kWorkerPodSelector[] =
    "app.kubernetes.io/managed-by=muster,app.kubernetes.io/component=worker";

// A process's port of metrics and health on the container and on the Service.
inline std::string MetricsPortName(int process) {
  return process == 0 ? "metrics" : "metrics-" + std::to_string(process);
}

// The container of a worker pod that is ours; without one of this name it is the first.
inline constexpr char kWorkerContainer[] = "worker";

inline constexpr char kHostnameLabel[] = "kubernetes.io/hostname";
inline constexpr char kZoneLabel[] = "topology.kubernetes.io/zone";

}  // namespace muster::kube
