// Pods as processes: start, stop, exit, and what faults do to them.
#include <signal.h>

#include <algorithm>
#include <cstdlib>

#include "operator/local/cluster_impl.h"
#include "operator/runtime/entropy.h"

extern char** environ;

namespace muster::local {
namespace {

constexpr std::size_t kLastLines = 50;

// What a process needs of the environment it runs in; everything else stays outside, so that a run
// does not depend on the shell it was typed into.
constexpr std::string_view kPassedOn[] = {"PATH=",
                                          "HOME=",
                                          "LANG=",
                                          "LC_ALL=",
                                          "TMPDIR=",
                                          "TZ=",
                                          "LD_LIBRARY_PATH=",
                                          "VIRTUAL_ENV=",
                                          "CUDA_",
                                          "NCCL_",
                                          "NVIDIA_",
                                          "ASAN_OPTIONS=",
                                          "TSAN_OPTIONS=",
                                          "UBSAN_OPTIONS=",
                                          "LSAN_OPTIONS="};
// Ours, except what is meant for one process only.
constexpr std::string_view kOurs = "MUSTER_";
constexpr std::string_view kOnlyFirstCoordinator = "MUSTER_TEST_COORDINATOR_DIE=";

std::string_view NameOf(std::string_view variable) {
  return variable.substr(0, variable.find('=') + 1);
}

std::string Join(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "\n") + line;
  return text;
}

}  // namespace

std::vector<std::string> LocalCluster::Impl::Environment(
    const std::vector<std::string>& own) const {
  std::vector<std::string> out = own;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    if (text.starts_with(kOnlyFirstCoordinator)) continue;
    const bool known = std::any_of(std::begin(kPassedOn), std::end(kPassedOn),
                                   [&](std::string_view name) { return text.starts_with(name); });
    const bool set = std::any_of(own.begin(), own.end(), [&](const std::string& mine) {
      return NameOf(mine) == NameOf(text);
    });
    if ((known || text.starts_with(kOurs)) && !set) out.emplace_back(text);
  }
  return out;
}

LocalCluster::Impl::Entry* LocalCluster::Impl::FindByPid(pid_t pid) {
  for (auto& [name, entry] : pods_) {
    if (entry.pid == pid) return &entry;
  }
  return nullptr;
}

void LocalCluster::Impl::StartPod(Entry& entry, const std::string& reason) {
  job::Pod& pod = entry.pod;
  std::vector<std::string> own = {
      "MUSTER_JOB_UID=" + job_.uid,
      "MUSTER_JOB_NAME=" + job_.name,
      "MUSTER_MEMBER=" + base::ToString(pod.member),
      "MUSTER_PROCESS=" + std::to_string(pod.member.ordinal),  // each takes a GPU of its own
      "MUSTER_TOKEN=" + settings_.token,
      "MUSTER_COORDINATOR=127.0.0.1:" + std::to_string(settings_.port),
      "MUSTER_NODE=" + pod.node,
      "MUSTER_LOG_FORMAT=" + settings_.log_format,
      "MUSTER_METRICS_PORT=" + std::string(settings_.metrics_port < 0 ? "-1" : "0"),
  };
  const std::int32_t processes = job_.spec.workers.processes_per_worker;
  if (processes > 1) own.push_back("MUSTER_PROCESSES=" + std::to_string(processes));
  entry.log = state_dir_->logs_dir() + "/" + pod.name + ".log";
  auto pid = processes_->Start({options_.programs.muster_worker, {}, Environment(own), entry.log});
  pod.start_time = clock_.WallNow();
  if (!pid.ok()) {
    pod.phase = job::PodPhase::kFailed;
    pod.message = base::Message(pid.status());
    pod.finish_time = pod.start_time;
    TellNote(pod.name + ": " + pod.message);
    return;
  }
  entry.pid = *pid;
  pod.pid = *pid;
  pod.phase = job::PodPhase::kRunning;
  Tell(PodStarted{pod.member, pod.name, pod.node, pod.pid, reason});
}

void LocalCluster::Impl::OnPodExit(Entry& entry, const ProcessExited& exited) {
  job::Pod& pod = entry.pod;
  entry.pid = 0;
  entry.kill_at.reset();
  const bool succeeded = exited.exit_code == 0;
  const std::vector<std::string> lines = LastLines(entry.log, kLastLines);
  pod.phase = succeeded ? job::PodPhase::kSucceeded : job::PodPhase::kFailed;
  pod.exit_code = exited.exit_code;
  pod.signal = exited.signal;
  pod.finish_time = clock_.WallNow();
  if (!succeeded) pod.message = Join(lines);
  Apply(faults_.OnPodGone(Now(), pod.member));
  Tell(PodExited{pod.member, pod.name, pod.node, exited.pid, exited.exit_code, exited.signal,
                 lines});
  if (entry.deleted) {
    pods_.erase(std::string(pod.name));
  } else if (pod.deleting) {
    RemoveObject(entry);
  } else {
    server_->Send(PodChanged{pod});
  }
}

void LocalCluster::Impl::OnPodStopped(Entry& entry) {
  entry.stopped = true;
  Apply(faults_.OnPodStopped(Now(), entry.pod.member));
}

void LocalCluster::Impl::RemoveObject(Entry& entry) {
  entry.deleted = true;
  server_->Send(PodDeleted{entry.pod});
  if (entry.pid == 0) pods_.erase(std::string(entry.pod.name));
}

void LocalCluster::Impl::Handle(const CreatePodRequest& request) {
  if (ending_) return;
  if (pods_.contains(request.name)) return;
  if (!used_.insert(request.member).second) {
    TellNote("pod " + request.name + " is refused: " + base::ToString(request.member) +
             " was used before");
    return;
  }
  Entry entry;
  entry.pod.name = request.name;
  entry.pod.uid = runtime::RandomToken(8);
  entry.pod.member = request.member;
  entry.pod.node = "node-" + std::to_string(request.member.ordinal % options_.nodes);
  StartPod(entry, request.reason);
  const job::Pod pod = entry.pod;
  pods_.insert_or_assign(pod.name, std::move(entry));
  server_->Send(PodChanged{pod});
  if (pod.phase == job::PodPhase::kRunning) {
    Apply(faults_.OnPodStarted(Now(), pod.member, pod.node));
  }
}

void LocalCluster::Impl::Handle(const DeletePodRequest& request) {
  auto it = pods_.find(request.name);
  if (it == pods_.end() || it->second.deleted || it->second.pod.uid != request.uid) return;
  Entry& entry = it->second;
  if (entry.pid == 0) {
    RemoveObject(entry);
    return;
  }
  if (request.force) {
    // A stopped process is a machine that cannot be reached: its object goes, it stays, and when it
    // wakes it has to find out by itself that it is fenced (M2).
    const bool unreachable = entry.stopped || faults_.WillWake(entry.pod.member);
    if (!unreachable) processes_->Signal(entry.pid, SIGKILL);
    RemoveObject(entry);
    return;
  }
  if (entry.pod.deleting) return;
  constexpr base::Duration kTerminationGrace = std::chrono::seconds(30);
  entry.pod.deleting = true;
  entry.kill_at = Now() + kTerminationGrace;
  processes_->Signal(entry.pid, SIGTERM);
  server_->Send(PodChanged{entry.pod});
}

void LocalCluster::Impl::EnforceGraces() {
  constexpr base::Duration kWokenGrace = std::chrono::seconds(10);
  for (auto& [name, entry] : pods_) {
    if (entry.pid == 0) continue;
    if (entry.deleted && !entry.stopped && !entry.kill_at) entry.kill_at = Now() + kWokenGrace;
    if (entry.kill_at && Now() >= *entry.kill_at) processes_->Signal(entry.pid, SIGKILL);
  }
}

void LocalCluster::Impl::ChangeReplicas(std::int32_t replicas) {
  if (replicas > job_.spec.workers.max_replicas) {
    TellNote(std::to_string(replicas) + " replicas are more than maxReplicas = " +
             std::to_string(job_.spec.workers.max_replicas) + "; nothing is changed");
    return;
  }
  job_.spec.workers.replicas = replicas;
  ++job_.generation;
  server_->Send(JobChanged{job_});
}

void LocalCluster::Impl::Apply(const FaultActions& actions) {
  for (const FaultAction& action : actions) Apply(action);
}

void LocalCluster::Impl::Apply(const FaultAction& action) {
  const auto pid_of = [this](base::MemberId member) -> pid_t {
    for (const auto& [name, entry] : pods_) {
      if (entry.pod.member == member) return entry.pid;
    }
    return 0;
  };
  if (const auto* signal = std::get_if<SignalPod>(&action)) {
    if (const pid_t pid = pid_of(signal->member); pid != 0) processes_->Signal(pid, signal->signal);
  } else if (const auto* node = std::get_if<KillNode>(&action)) {
    // A cluster tells of the node, too, and no later than the streams break.
    for (auto& [name, entry] : pods_) {
      if (entry.pod.node != node->node || entry.pid == 0) continue;
      entry.pod.infrastructure_loss = true;
      if (!entry.deleted) server_->Send(PodChanged{entry.pod});
    }
    for (auto& [name, entry] : pods_) {
      if (entry.pod.node == node->node && entry.pid != 0) processes_->Signal(entry.pid, SIGKILL);
    }
  } else if (std::holds_alternative<KillCoordinator>(action)) {
    coordinator_.killed_on_purpose = true;
    if (coordinator_.pid != 0) processes_->Signal(coordinator_.pid, SIGKILL);
  } else if (const auto* arm = std::get_if<ArmBreak>(&action)) {
    if (const pid_t pid = pid_of(arm->member); pid != 0) {
      processes_->WriteInput(pid, "break " + std::string(ToString(arm->phase)) + " " +
                                      std::to_string(arm->step.value) + "\n");
    }
  } else if (const auto* replicas = std::get_if<SetReplicas>(&action)) {
    ChangeReplicas(replicas->replicas);
  } else if (std::holds_alternative<AddReplica>(action)) {
    ChangeReplicas(job_.spec.workers.replicas + 1);
  } else if (const auto* announce = std::get_if<Announce>(&action)) {
    Tell(FaultFired{announce->fault, announce->detail});
  }
}

}  // namespace muster::local
