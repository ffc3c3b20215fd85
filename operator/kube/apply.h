// The pod that a plan's CreatePod means: the job's template with what a worker needs. Pure.
//
// docs/worker-pods.md lists every field that is added, and whether the template's own value stands.
#pragma once

#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "operator/job/plan.h"

namespace muster::kube {

// What the operator knows and the job does not say.
struct WorkerPodSettings {
  std::string image;                      // of a worker container that names none
  std::vector<std::string> coordinators;  // HOST:PORT; not empty
  std::string token_audience = "muster";
  std::int64_t token_seconds = 3600;
  std::string ca_config_map;  // holds ca.crt; empty: none is mounted
  int metrics_port = 9464;
  std::string log_format = "json";
  std::vector<std::string> avoid_nodes;  // preferred against, never required
};

inline constexpr char kTokenFolder[] = "/var/run/secrets/muster.dev";
inline constexpr char kCaFolder[] = "/var/run/muster.dev/ca";

// What the template names; else what the job has started with; else `of_operator`.
std::string WorkerImage(const api::TrainingJob& job, const std::string& of_operator);

// A whole Pod as JSON. InvalidArgument names the field of spec.workers.template that is not what a
// PodTemplateSpec has there.
absl::StatusOr<std::string> MakePodBody(const api::TrainingJob& job, const job::CreatePod& create,
                                        const WorkerPodSettings& settings);

}  // namespace muster::kube
