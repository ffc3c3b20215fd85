// What the cluster tells of a job and its pods, first the list, then the watch's changes: values,
// the same on one machine and on Kubernetes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/shared.h"
#include "operator/job/observed.h"

namespace muster::job {

using SharedJob = base::Shared<api::TrainingJob>;
using SharedStatus = base::Shared<api::TrainingJobStatus>;

struct Listed {
  SharedJob job;
  std::vector<Pod> pods = {};
  // By ordinal, of pods that are there no more: an id is never used twice.
  std::map<std::int32_t, std::int32_t> highest_incarnation = {};
  // Not one machine (Observed::on_cluster), with the nodes that the pods are on.
  bool on_cluster = false;
  std::vector<Node> nodes = {};
  friend bool operator==(const Listed&, const Listed&) = default;
};
struct JobChanged {
  SharedJob job;
  friend bool operator==(const JobChanged&, const JobChanged&) = default;
};
struct PodChanged {  // new or other than before
  SharedPod pod;
  friend bool operator==(const PodChanged&, const PodChanged&) = default;
};
struct PodDeleted {
  Pod pod;  // as it was last
  friend bool operator==(const PodDeleted&, const PodDeleted&) = default;
};
// The API server did not take a pod: nothing of it will be seen.
struct PodRefused {
  std::string name;
  base::MemberId member;
  std::string reason;   // of reasons.h
  std::string message;  // the server's words
  friend bool operator==(const PodRefused&, const PodRefused&) = default;
};
struct NodeChanged {  // new, other than before, or gone
  Node node;
  friend bool operator==(const NodeChanged&, const NodeChanged&) = default;
};
using Change = std::variant<JobChanged, PodChanged, PodDeleted, PodRefused, NodeChanged>;

}  // namespace muster::job
