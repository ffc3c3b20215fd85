#include "operator/kube/changes.h"

#include <algorithm>
#include <array>

#include "operator/job/reasons.h"
#include "operator/kube/api_error.h"
#include "operator/kube/projection_parts.h"

namespace muster::kube {
namespace {

// Taints that announce what a cordon does: the node is about to be emptied by an autoscaler.
constexpr std::array<std::string_view, 3> kLeavingTaints = {
    "node.kubernetes.io/unschedulable", "ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted"};
// The node is out of service for good: whatever its kubelet said last, nothing runs there.
constexpr std::string_view kOutOfService = "node.kubernetes.io/out-of-service";

template <typename List>
bool Holds(const List& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::string FaultOf(const NodeRecord& record, const FaultSigns& signs) {
  for (const Taint& taint : record.taints) {
    if (Holds(signs.taints, taint.key)) return "the taint " + taint.key;
  }
  for (const FaultCondition& sign : signs.conditions) {
    auto condition = record.conditions.find(sign.type);
    if (condition == record.conditions.end() || condition->second != sign.status) continue;
    return "the condition " + sign.type + (sign.status == "True" ? "" : "=" + sign.status);
  }
  return "";
}

// In one word of operator/job/reasons.h; empty: no refusal that lasts.
std::string ReasonOf(const ApiError& error) {
  namespace reasons = job::reasons;
  switch (error.code) {
    case 400:
    case 413:
    case 422:
      return reasons::kTemplateRefused;
    case 403:
      break;
    default:
      return "";
  }
  if (IsNamespaceTerminating(error)) return reasons::kNamespaceTerminating;
  if (IsQuota(error)) return reasons::kQuotaExceeded;
  // The level of the namespace is the template's business: no time mends it.
  const bool security = error.message.find("violates PodSecurity") != std::string::npos;
  return security ? reasons::kTemplateRefused : reasons::kPodsForbidden;
}

}  // namespace

absl::StatusOr<FaultCondition> ParseFaultCondition(const std::string& text) {
  const std::size_t equals = text.find('=');
  FaultCondition sign{text.substr(0, equals)};
  if (equals != std::string::npos) sign.status = text.substr(equals + 1);
  const bool known = sign.status == "True" || sign.status == "False" || sign.status == "Unknown";
  if (!sign.type.empty() && known) return sign;
  return base::InvalidArgument("'" + text +
                               "' is not TYPE or TYPE=STATUS with True, False or Unknown");
}

job::Node MakeNode(const NodeRecord& record, const FaultSigns& signs) {
  job::Node node;
  node.name = record.name;
  node.ready = record.ready == "True";
  node.gone = record.deleting;
  node.cordoned = record.unschedulable;
  for (const Taint& taint : record.taints) {
    if (Holds(kLeavingTaints, taint.key)) node.cordoned = true;
    if (taint.key == kOutOfService) node.gone = true;
  }
  node.fault = FaultOf(record, signs);
  return node;
}

job::Node MakeGoneNode(const std::string& name) {
  job::Node node;
  node.name = name;
  node.ready = false;
  node.gone = true;
  return node;
}

const std::string& ControllerOf(const Delta<PodRecord>& delta) {
  return (delta.removed() ? delta.before : delta.after)->controller_uid;
}

job::Change ChangeOfPod(const Delta<PodRecord>& delta) {
  if (delta.removed()) return job::PodDeleted{delta.before->pod};
  // The store's own.
  return job::PodChanged{job::SharedPod({delta.after, &delta.after->pod})};
}

job::Change ChangeOfNode(const Delta<NodeRecord>& delta, const FaultSigns& signs) {
  if (delta.removed()) return job::NodeChanged{MakeGoneNode(delta.before->name)};
  return job::NodeChanged{MakeNode(*delta.after, signs)};
}

std::optional<job::PodRefused> RefusalOf(const job::CreatePod& wanted, const absl::Status& status) {
  // A body that could not even be made (MakePodBody) is the template's fault, too.
  const std::optional<ApiError> error = ApiErrorOf(status);
  std::string reason;
  if (error) {
    reason = ReasonOf(*error);
  } else if (absl::IsInvalidArgument(status)) {
    reason = job::reasons::kTemplateRefused;
  }
  if (reason.empty()) return std::nullopt;
  std::string message = error ? error->message : base::Message(status);
  return job::PodRefused{wanted.name, wanted.member, std::move(reason),
                         Shortened(std::move(message))};
}

}  // namespace muster::kube
