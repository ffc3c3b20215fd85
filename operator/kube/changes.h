// What informers and refused requests tell, in the words of a plan (operator/job/changes.h). Pure.
//
//   pods      ChangeOfPod, to the reign of the job that controls it (ControllerOf)
//   nodes     ChangeOfNode, to every reign: each keeps what its pods and losses name
//   jobs      JobChanged with JobRecord.job; one that is unreadable has MakeUnreadablePlan
//   a refusal RefusalOf, to the reign that asked for the pod
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/job/changes.h"
#include "operator/job/plan.h"
#include "operator/kube/projection.h"
#include "operator/kube/store.h"

namespace muster::kube {

// Taints and conditions by which a cluster says that a node's hardware is broken, such as
// nvidia.com/gpu-fault: its workers leave in order, and others are made elsewhere.
struct FaultCondition {
  std::string type;
  std::string status = "True";  // True | False | Unknown
  friend bool operator==(const FaultCondition&, const FaultCondition&) = default;
};
struct FaultSigns {
  std::vector<std::string> taints;  // keys
  std::vector<FaultCondition> conditions;
};

// "TYPE" is the condition where it is True, "TYPE=STATUS" where it is that: some health checks say what
// is broken, others what is well. InvalidArgument says what is allowed.
absl::StatusOr<FaultCondition> ParseFaultCondition(const std::string& text);

job::Node MakeNode(const NodeRecord& record, const FaultSigns& signs);
// As the reigns know a node whose object is no more.
job::Node MakeGoneNode(const std::string& name);

// The uid of the job that a pod's change concerns.
const std::string& ControllerOf(const Delta<PodRecord>& delta);
job::Change ChangeOfPod(const Delta<PodRecord>& delta);
job::Change ChangeOfNode(const Delta<NodeRecord>& delta, const FaultSigns& signs);

// Set when the API server has refused the pod for a reason that stays until somebody does something
// about it. Nothing for what another attempt may mend (no answer, 429, 5xx) and for AlreadyExists,
// which the watch clears up.
std::optional<job::PodRefused> RefusalOf(const job::CreatePod& wanted, const absl::Status& status);

}  // namespace muster::kube
