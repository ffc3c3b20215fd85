// What informers and refused requests tell, in the words of a plan (operator/job/changes.h). Pure.
//
//   pods      ChangesOfPod, to the reign of the job that controls it (ControllerOf)
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
struct FaultSigns {
  std::vector<std::string> taints;      // keys
  std::vector<std::string> conditions;  // types; the condition is True
};

job::Node MakeNode(const NodeRecord& record, const FaultSigns& signs);
// As the reigns know a node whose object is no more.
job::Node MakeGoneNode(const std::string& name);

// The uid of the job that a pod's change concerns.
const std::string& ControllerOf(const Delta<PodRecord>& delta);
// `node` is the pod's, as the store has it now; null: none, or not known. It comes along when the
// pod is new to it.
std::vector<job::Change> ChangesOfPod(const Delta<PodRecord>& delta, const NodeRecord* node,
                                      const FaultSigns& signs);
job::Change ChangeOfNode(const Delta<NodeRecord>& delta, const FaultSigns& signs);

// Set when the API server has refused the pod for a reason that stays until somebody does something
// about it. Nothing for what another attempt may mend (no answer, 429, 5xx) and for AlreadyExists,
// which the watch clears up.
std::optional<job::PodRefused> RefusalOf(const job::CreatePod& wanted, const absl::Status& status);

// What a reign begins with: of `pods` those that the job controls, whatever else bears its labels.
job::Listed MakeListed(const api::TrainingJob& job, const std::vector<StoredPtr<PodRecord>>& pods,
                       const Store<NodeRecord>& nodes, const FaultSigns& signs);

}  // namespace muster::kube
