// Objects of the API server as the few values that decisions need. Pure.
//
// Everything else of an object is dropped where it arrives: a pod of some 8 KB becomes a few
// hundred bytes. A field that is missing has its default; one of a wrong type is an error that
// names it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/job/observed.h"
#include "operator/kube/json.h"
#include "operator/kube/resource.h"

namespace muster::kube {

// Texts from outside are cut here.
inline constexpr std::size_t kMostMessageBytes = 1024;

// What a Store asks of each: Key() and Uid().

struct PodRecord {
  job::Pod pod;
  std::string ns;
  std::string controller_uid;  // of the controlling owner; empty: none
  std::int32_t processes = 1;  // of its worker, each of them a member
  KeyView Key() const { return {ns, pod.name}; }
  const std::string& Uid() const { return pod.uid; }
  friend bool operator==(const PodRecord&, const PodRecord&) = default;
};
// InvalidArgument when it is no pod of ours (no member label).
absl::StatusOr<PodRecord> ProjectPod(const Json& object);

// Without its resourceVersion: a write that changes nothing here is no news.
struct JobRecord {
  api::TrainingJob job;
  bool deleting = false;
  // Set: spec or status could not be read, and only name, namespace and uid of `job` are true.
  std::string unreadable;
  KeyView Key() const { return {job.ns, job.name}; }
  const std::string& Uid() const { return job.uid; }
  friend bool operator==(const JobRecord&, const JobRecord&) = default;
};
// Fails only without metadata: an unreadable job must be told to its owner, not be overlooked.
absl::StatusOr<JobRecord> ProjectJob(const Json& object);

struct Taint {
  std::string key;
  std::string value;
  std::string effect;  // NoSchedule | PreferNoSchedule | NoExecute
  friend bool operator==(const Taint&, const Taint&) = default;
};
struct NodeRecord {
  std::string name;
  std::string uid;
  std::string ready = "Unknown";  // True | False | Unknown
  bool unschedulable = false;     // cordoned
  bool deleting = false;
  std::vector<Taint> taints;
  std::map<std::string, std::string> conditions;  // type to status, Ready among them
  std::string zone;
  std::string rack;
  KeyView Key() const { return {"", name}; }
  const std::string& Uid() const { return uid; }
  friend bool operator==(const NodeRecord&, const NodeRecord&) = default;
};
// There is no usual label for a rack: `rack_label` names the cluster's own; empty: none. Times are
// left out, so that a heartbeat of a kubelet changes nothing.
absl::StatusOr<NodeRecord> ProjectNode(const Json& object, const std::string& rack_label);

// "2026-11-21T08:00:00.000000Z": Kubernetes' MicroTime.
std::string FormatMicroTime(base::WallTime time);

}  // namespace muster::kube
