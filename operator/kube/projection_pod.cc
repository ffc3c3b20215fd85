// Pods: what became of the worker's container, and whose fault it was.
#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "operator/kube/labels.h"
#include "operator/kube/projection.h"
#include "operator/kube/projection_parts.h"

namespace muster::kube {
namespace {

// Reasons of the condition DisruptionTarget, all of them the cluster's doing: none is ever charged.
constexpr std::array<std::string_view, 5> kDisruptions = {
    "PreemptionByScheduler", "DeletionByTaintManager", "EvictionByEvictionAPI", "DeletionByPodGC",
    "TerminationByKubelet"};
// status.reason of a pod that a kubelet or the node controller ended without that condition. A pod
// that a kubelet refused to admit has run nothing.
constexpr std::array<std::string_view, 8> kNodeReasons = {"NodeLost",
                                                          "NodeShutdown",
                                                          "Shutdown",
                                                          "Terminated",
                                                          "Preempting",
                                                          "NodeAffinity",
                                                          "UnexpectedAdmissionError",
                                                          "TaintToleration"};

// A shell's way to say "killed by signal N": the container runtimes give it, and no number of its
// own.
constexpr int kSignalBase = 128;
constexpr int kMostSignal = 64;

constexpr std::int32_t kMostProcesses = 64;  // as spec.workers.processesPerWorker

// A year: what is added to a clock must not run over.
constexpr std::int64_t kMostGraceSeconds = 31'536'000;

job::PodPhase PhaseOf(const std::string& phase) {
  if (phase == "Running" || phase == "Unknown") return job::PodPhase::kRunning;
  if (phase == "Succeeded") return job::PodPhase::kSucceeded;
  if (phase == "Failed") return job::PodPhase::kFailed;
  return job::PodPhase::kPending;
}

// The status of the container that is ours: `worker`, else the first of the spec.
const Json& WorkerStatus(const Json& object) {
  const Json& containers = At(object, {"spec", "containers"});
  std::string name = kWorkerContainer;
  if (containers.is_array() && !containers.empty() &&
      std::none_of(containers.begin(), containers.end(),
                   [&](const Json& container) { return TextAt(container, {"name"}) == name; })) {
    name = TextAt(containers.front(), {"name"});
  }
  const Json& statuses = At(object, {"status", "containerStatuses"});
  if (statuses.is_array()) {
    for (const Json& status : statuses) {
      if (TextAt(status, {"name"}) == name) return status;
    }
  }
  return At(object, {"status", "no such container"});
}

void ReadConditions(const Json& object, PodRecord& record) {
  const Json& conditions = At(object, {"status", "conditions"});
  if (!conditions.is_array()) return;
  for (const Json& condition : conditions) {
    const std::string type = TextAt(condition, {"type"});
    const std::string reason = TextAt(condition, {"reason"});
    const bool is_true = TextAt(condition, {"status"}) == "True";
    if (is_true) record.pod.conditions.push_back(type);
    if (type == "Ready") record.pod.ready = is_true;
    if (type == "PodScheduled" && !is_true && reason == "Unschedulable") {
      record.pod.unschedulable = Shortened(TextAt(condition, {"message"}));
    }
    if (type == "DisruptionTarget" && is_true &&
        std::find(kDisruptions.begin(), kDisruptions.end(), reason) != kDisruptions.end()) {
      record.pod.infrastructure_loss = true;
    }
  }
  record.pod.conditions.shrink_to_fit();  // a fleet has thousands of these
}

// "OutOfcpu", "OutOfmemory", "OutOfpods": a kubelet that has less room than the scheduler thought.
bool IsNodeReason(const std::string& reason) {
  return reason.starts_with("OutOf") ||
         std::find(kNodeReasons.begin(), kNodeReasons.end(), reason) != kNodeReasons.end();
}

// Of its deletion, if there is one: an eviction may leave it less than the template does.
void ReadGrace(const Json& object, job::Pod& pod) {
  const std::int64_t standing = IntegerAt(object, {"spec", "terminationGracePeriodSeconds"}, 30);
  const std::int64_t seconds =
      IntegerAt(object, {"metadata", "deletionGracePeriodSeconds"}, standing);
  pod.grace = std::chrono::seconds(std::clamp<std::int64_t>(seconds, 0, kMostGraceSeconds));
}

absl::Status ReadProcesses(const std::string& text, PodRecord& record) {
  if (text.empty()) return absl::OkStatus();
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, record.processes);
  const bool whole = read.ec == std::errc() && read.ptr == end;
  if (whole && record.processes >= 1 && record.processes <= kMostProcesses) {
    return absl::OkStatus();
  }
  return base::InvalidArgument(std::string("label ") + kProcessesLabel + " is '" + text +
                               "'; a number from 1 to " + std::to_string(kMostProcesses) +
                               " is allowed");
}

absl::Status ReadEnd(const Json& terminated, job::Pod& pod) {
  const auto code = static_cast<int>(IntegerAt(terminated, {"exitCode"}));
  const auto signal = static_cast<int>(IntegerAt(terminated, {"signal"}));
  if (signal != 0) {
    pod.signal = signal;
  } else if (code > kSignalBase && code <= kSignalBase + kMostSignal) {
    pod.signal = code - kSignalBase;
  } else {
    pod.exit_code = code;
  }
  const std::string reason = TextAt(terminated, {"reason"});
  pod.message = TextAt(terminated, {"message"});
  // "Error" and "Completed" say nothing that the code does not; OOMKilled does.
  if (!reason.empty() && reason != "Error" && reason != "Completed") {
    pod.message = pod.message.empty() ? reason : reason + ": " + pod.message;
  }
  return ReadTime(terminated, {"finishedAt"}, pod.finish_time);
}

// What the worker waits for; while that is only another container, what that one waits for.
void ReadWaiting(const Json& object, const Json& worker, job::Pod& pod) {
  const auto on_its_way = [](const std::string& reason) {
    return reason.empty() || reason == "ContainerCreating" || reason == "PodInitializing";
  };
  const auto take = [&pod](const Json& status) {
    pod.waiting_reason = TextAt(status, {"state", "waiting", "reason"});
    pod.waiting_message = Shortened(TextAt(status, {"state", "waiting", "message"}));
  };
  take(worker);
  for (const char* list : {"initContainerStatuses", "containerStatuses"}) {
    const Json& statuses = At(object, {"status", list});
    if (!statuses.is_array()) continue;
    for (const Json& status : statuses) {
      const bool stuck = !on_its_way(TextAt(status, {"state", "waiting", "reason"}));
      if (on_its_way(pod.waiting_reason) && stuck) take(status);
    }
  }
}

absl::Status ReadWorker(const Json& object, PodRecord& record) {
  const Json& status = WorkerStatus(object);
  ReadWaiting(object, status, record.pod);
  std::optional<base::WallTime> started;
  MUSTER_RETURN_IF_ERROR(ReadTime(status, {"state", "running", "startedAt"}, started));
  const Json& terminated = At(status, {"state", "terminated"});
  if (terminated.is_object()) {
    MUSTER_RETURN_IF_ERROR(ReadTime(terminated, {"startedAt"}, started));
    // The worker has ended, whatever else still runs in the pod: it trains no more.
    MUSTER_RETURN_IF_ERROR(ReadEnd(terminated, record.pod));
    const bool well = record.pod.exit_code == 0;
    record.pod.phase = well ? job::PodPhase::kSucceeded : job::PodPhase::kFailed;
  }
  if (!started) MUSTER_RETURN_IF_ERROR(ReadTime(object, {"status", "startTime"}, started));
  record.pod.start_time = started.value_or(base::WallTime());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PodRecord> ProjectPod(const Json& object) {
  PodRecord record;
  job::Pod& pod = record.pod;
  pod.name = TextAt(object, {"metadata", "name"});
  pod.uid = TextAt(object, {"metadata", "uid"});
  record.ns = TextAt(object, {"metadata", "namespace"});
  const Json& labels = At(object, {"metadata", "labels"});
  const auto member = base::ParseMemberId(TextAt(labels, {kMemberLabel}));
  if (!member.ok()) {
    return base::Annotate(member.status(), std::string("label ") + kMemberLabel);
  }
  pod.member = *member;
  MUSTER_RETURN_IF_ERROR(ReadProcesses(TextAt(labels, {kProcessesLabel}), record));
  record.controller_uid = ControllerUid(object);
  pod.node = TextAt(object, {"spec", "nodeName"});
  pod.phase = PhaseOf(TextAt(object, {"status", "phase"}));
  MUSTER_RETURN_IF_ERROR(ReadTime(object, {"metadata", "deletionTimestamp"}, pod.deletion_time));
  pod.deleting = pod.deletion_time.has_value();
  ReadGrace(object, pod);
  ReadConditions(object, record);
  MUSTER_RETURN_IF_ERROR(ReadWorker(object, record));
  const std::string reason = TextAt(object, {"status", "reason"});
  if (IsNodeReason(reason)) pod.infrastructure_loss = true;
  // A pod that ended without a container's word (evicted, refused, lost) has its own.
  if (pod.message.empty() && !reason.empty()) {
    const std::string message = TextAt(object, {"status", "message"});
    pod.message = message.empty() ? reason : reason + ": " + message;
  }
  pod.message = Shortened(std::move(pod.message));
  return record;
}

}  // namespace muster::kube
