// TARGET@step=N[:in=PHASE][:for=TIME]: split at '@' and ':', then each part by its own rule.
#include "operator/cli/fault_spec.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <tuple>

#include "operator/api/quantity.h"

namespace muster::cli {
namespace {

using local::Fault;
using local::FaultKind;
using local::FaultPhase;
using local::TargetKind;

constexpr std::pair<std::string_view, FaultPhase> kPhases[] = {
    {"forward", FaultPhase::kForward},       {"overlap", FaultPhase::kOverlap},
    {"reduce", FaultPhase::kReduce},         {"commit", FaultPhase::kCommit},
    {"checkpoint", FaultPhase::kCheckpoint}, {"rebuild", FaultPhase::kRebuild},
    {"transfer", FaultPhase::kTransfer},
};

std::string_view Option(FaultKind kind) {
  switch (kind) {
    case FaultKind::kKill:
      return "--kill";
    case FaultKind::kStop:
      return "--stop";
    case FaultKind::kTerm:
      return "--term";
    case FaultKind::kScale:
      return "--scale";
    case FaultKind::kJoin:
      return "--join";
  }
  return "";
}

bool IsSignal(FaultKind kind) { return kind != FaultKind::kScale && kind != FaultKind::kJoin; }

absl::Status Wrong(const Fault& fault, std::string_view sentence) {
  return base::InvalidArgument(fault.text + ": " + std::string(sentence));
}

template <typename T>
bool ReadWhole(std::string_view text, T least, T most, T* out) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *out);
  return error == std::errc() && stop == end && *out >= least && *out <= most;
}

std::string Quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

absl::Status ReadTarget(std::string_view text, Fault& fault) {
  fault.target = TargetKind::kJob;
  if (fault.kind == FaultKind::kJoin) {
    if (text.empty()) return absl::OkStatus();
    return Wrong(fault, Quoted(text) + " is too much: --join adds one worker, write @step=N");
  }
  if (fault.kind == FaultKind::kScale) {
    if (ReadWhole(text, 1, 10'000, &fault.replicas)) return absl::OkStatus();
    return Wrong(fault, Quoted(text) + " is not allowed: a number of replicas from 1 to 10000");
  }
  if (text == "coordinator") {
    fault.target = TargetKind::kCoordinator;
    if (fault.kind == FaultKind::kKill) return absl::OkStatus();
    return Wrong(fault, "the coordinator can only be killed: use --kill");
  }
  const bool node = text.starts_with("node-");
  fault.target = node ? TargetKind::kNode : TargetKind::kWorker;
  if (node || text.starts_with("worker-")) {
    if (ReadWhole(text.substr(text.find('-') + 1), 0, 9'999, &fault.index)) {
      return absl::OkStatus();
    }
  }
  return Wrong(fault, Quoted(text) + " is no target: worker-K, node-K" +
                          (fault.kind == FaultKind::kKill ? " or coordinator" : ""));
}

absl::Status ReadTrigger(std::string_view text, Fault& fault) {
  if (text.starts_with("step=")) {
    std::int64_t step = 0;
    if (!ReadWhole(text.substr(5), std::int64_t{1}, std::int64_t{1'000'000'000}, &step)) {
      return Wrong(fault, Quoted(text.substr(5)) + " is no step: an integer from 1 to 1000000000");
    }
    fault.trigger.step = base::Step(step);
    return absl::OkStatus();
  }
  if (text.starts_with("time=")) {
    const absl::StatusOr<base::Duration> time = api::ParseDuration(text.substr(5));
    if (!time.ok()) return Wrong(fault, base::Message(time.status()));
    fault.trigger.time = *time;
    return absl::OkStatus();
  }
  return Wrong(fault, Quoted(text) + " says no time: @step=N or @time=10s");
}

absl::Status ReadPhase(std::string_view text, Fault& fault) {
  if (!IsSignal(fault.kind) || fault.target == TargetKind::kCoordinator) {
    return Wrong(fault, ":in= is for faults of workers and nodes");
  }
  for (const auto& [name, phase] : kPhases) {
    if (name != text) continue;
    fault.phase = phase;
    return absl::OkStatus();
  }
  return Wrong(fault, Quoted(text) +
                          " is no phase: forward, overlap, reduce, commit, checkpoint, rebuild or "
                          "transfer");
}

absl::Status ReadFor(std::string_view text, Fault& fault) {
  if (fault.kind != FaultKind::kStop) return Wrong(fault, ":for= is for --stop alone");
  const absl::StatusOr<base::Duration> time = api::ParseDuration(text);
  if (!time.ok()) return Wrong(fault, base::Message(time.status()));
  if (time->count() <= 0) return Wrong(fault, ":for= needs a time above 0");
  fault.duration = *time;
  return absl::OkStatus();
}

absl::Status ReadExtra(std::string_view text, Fault& fault) {
  if (text.starts_with("in=")) {
    if (fault.phase) return Wrong(fault, ":in= is given twice");
    return ReadPhase(text.substr(3), fault);
  }
  if (text.starts_with("for=")) {
    if (fault.duration) return Wrong(fault, ":for= is given twice");
    return ReadFor(text.substr(4), fault);
  }
  return Wrong(fault, Quoted(text) + " is not known: :in=PHASE, and with --stop :for=5s");
}

// How many workers are wanted as the run goes on, joins and scales taken in the order of their
// steps.
absl::Status CheckReplicas(std::vector<Fault> faults, const api::WorkersSpec& workers) {
  std::stable_sort(faults.begin(), faults.end(), [](const Fault& a, const Fault& b) {
    return std::tie(a.trigger.step, a.trigger.time) < std::tie(b.trigger.step, b.trigger.time);
  });
  std::int32_t replicas = workers.replicas;
  const std::string most = "maxReplicas, which is " + std::to_string(workers.max_replicas);
  for (const Fault& fault : faults) {
    if (fault.kind == FaultKind::kScale) replicas = fault.replicas;
    if (fault.kind == FaultKind::kJoin) ++replicas;
    if (replicas > workers.max_replicas) {
      return Wrong(fault, "asks for " + std::to_string(replicas) + " workers, more than " + most);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Fault> ParseFault(FaultKind kind, std::string_view spec) {
  Fault fault;
  fault.kind = kind;
  fault.text = std::string(Option(kind)) + " " + std::string(spec);
  const std::size_t at = spec.find('@');
  if (at == std::string_view::npos) {
    return Wrong(
        fault, std::string("when is missing: ") + (kind == FaultKind::kJoin ? "@step=N"
                                                   : kind == FaultKind::kScale
                                                       ? "3@step=N"
                                                       : "worker-2@step=40 or worker-2@time=10s"));
  }
  MUSTER_RETURN_IF_ERROR(ReadTarget(spec.substr(0, at), fault));
  std::string_view rest = spec.substr(at + 1);
  const std::size_t colon = rest.find(':');
  MUSTER_RETURN_IF_ERROR(ReadTrigger(rest.substr(0, colon), fault));
  while (rest.find(':') != std::string_view::npos) {
    rest.remove_prefix(rest.find(':') + 1);
    MUSTER_RETURN_IF_ERROR(ReadExtra(rest.substr(0, rest.find(':')), fault));
  }
  return fault;
}

absl::Status CheckFaults(const std::vector<Fault>& faults, const api::TrainingJob& job, int nodes) {
  for (const Fault& fault : faults) {
    if (fault.trigger.step && fault.trigger.step->value > job.spec.training.steps) {
      return Wrong(fault, "the job has only " + std::to_string(job.spec.training.steps) +
                              " steps, so this could never happen");
    }
    if (fault.target == TargetKind::kNode && fault.index >= nodes) {
      return Wrong(fault, "there is no such node: --nodes " + std::to_string(nodes) +
                              " makes node-0 to node-" + std::to_string(nodes - 1));
    }
    const std::int32_t processes = job.spec.workers.processes_per_worker;
    if (fault.phase && processes != 1) {
      return Wrong(fault,
                   "a phase is told to a worker's one process: :in= needs "
                   "processesPerWorker 1; it is " +
                       std::to_string(processes));
    }
    const std::int32_t most = job.spec.workers.max_replicas;
    if (fault.target == TargetKind::kWorker && fault.index >= most) {
      return Wrong(fault, "there is no such worker: with maxReplicas " + std::to_string(most) +
                              " they are worker-0 to worker-" + std::to_string(most - 1));
    }
  }
  return CheckReplicas(faults, job.spec.workers);
}

}  // namespace muster::cli
