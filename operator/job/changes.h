// What the cluster tells of a job and its pods, first the list, then the watch's changes: values,
// the same on one machine and on Kubernetes.
#pragma once

#include <cstdint>
#include <map>
#include <variant>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/job/observed.h"

namespace muster::job {

struct Listed {
  api::TrainingJob job;
  std::vector<Pod> pods;
  // By ordinal, of pods that are there no more: an id is never used twice.
  std::map<std::int32_t, std::int32_t> highest_incarnation;
  friend bool operator==(const Listed&, const Listed&) = default;
};
struct JobChanged {
  api::TrainingJob job;
  friend bool operator==(const JobChanged&, const JobChanged&) = default;
};
struct PodChanged {  // new or other than before
  Pod pod;
  friend bool operator==(const PodChanged&, const PodChanged&) = default;
};
struct PodDeleted {
  Pod pod;  // as it was last
  friend bool operator==(const PodDeleted&, const PodDeleted&) = default;
};
using Change = std::variant<JobChanged, PodChanged, PodDeleted>;

}  // namespace muster::job
