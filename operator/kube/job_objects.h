// The objects that stand beside a job's pods: what they are and what is in them. Pure.
//
// All are owned by the job, so that they go with it, and applied by field manager `muster`: what
// others add to them stays.
#pragma once

#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/kube/resource.h"

namespace muster::kube {

struct JobObject {
  Resource resource;
  ObjectKey key;
  std::string body;  // of a server-side apply
};

struct JobObjectSettings {
  std::string ca_bundle_pem;  // empty: no ConfigMap of it
  int metrics_port = 9464;
};

// "<job>-ca": where the pods of a job find whom to believe.
std::string CaConfigMapName(const api::TrainingJob& job);

// "<job>-history", without entries: to be applied before the first of them (job_history.h).
JobObject MakeHistoryObject(const api::TrainingJob& job);

// ConfigMap <job>-ca, headless Service <job> (a name for each pod, a target for scrapes),
// PodDisruptionBudget <job> (a drain shrinks an elastic job down to minReplicas and no further) and
// NetworkPolicy <job> (workers are reached by workers of the same job, and their metrics by all).
std::vector<JobObject> MakeJobObjects(const api::TrainingJob& job,
                                      const JobObjectSettings& settings);

// What goes when the job has ended although the job itself stays: the disruption budget, which
// would hold up drains for pods that have nothing to lose.
std::vector<JobObject> ObjectsOfTheLiving(const api::TrainingJob& job);

}  // namespace muster::kube
