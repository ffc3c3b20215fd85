#include "operator/local/cluster.h"

#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "operator/local/cluster_impl.h"

namespace muster::local {
namespace {

struct HeldPort {
  UniqueFd fd;
  int port = 0;
};

// Bound with SO_REUSEPORT and never listening: connections go to whoever listens on the same port,
// and between two coordinators nobody else can take it.
absl::StatusOr<HeldPort> HoldPort() {
  HeldPort held{UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), 0};
  const int on = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (setsockopt(held.fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
      bind(held.fd.get(), generic, size) != 0 || getsockname(held.fd.get(), generic, &size) != 0) {
    return base::Unavailable("cannot hold a port of 127.0.0.1 for the coordinator: " +
                             base::ErrnoText(errno));
  }
  held.port = ntohs(address.sin_port);
  return held;
}

absl::Status CheckProgram(const std::string& path) {
  if (access(path.c_str(), X_OK) == 0) return absl::OkStatus();
  return base::NotFound("cannot run " + path + ": " + base::ErrnoText(errno) +
                        "; muster and muster-worker belong beside each other");
}

absl::Status CheckFault(const ClusterOptions& options, const Fault& fault) {
  const std::string name = "'" + fault.text + "': ";
  if (fault.target == TargetKind::kCoordinator && (fault.kind != FaultKind::kKill || fault.phase)) {
    return base::InvalidArgument(name + "the coordinator can only be killed, and in no phase");
  }
  if (fault.target == TargetKind::kNode && (fault.index < 0 || fault.index >= options.nodes)) {
    return base::InvalidArgument(name + "there is no node-" + std::to_string(fault.index) +
                                 "; with --nodes " + std::to_string(options.nodes) +
                                 " the last is node-" + std::to_string(options.nodes - 1));
  }
  const std::int32_t most = options.job.spec.workers.max_replicas;
  if (fault.kind == FaultKind::kScale && (fault.replicas < 1 || fault.replicas > most)) {
    return base::InvalidArgument(
        name + std::to_string(fault.replicas) +
        " replicas; allowed is 1 to maxReplicas = " + std::to_string(most));
  }
  // It is told by a worker's input, and several processes cannot share one.
  const std::int32_t processes = options.job.spec.workers.processes_per_worker;
  if (fault.phase && processes != 1) {
    return base::InvalidArgument(name + "has :in=, which needs processesPerWorker 1; it is " +
                                 std::to_string(processes));
  }
  if (fault.trigger.step.has_value() == fault.trigger.time.has_value()) {
    return base::InvalidArgument(name + "needs either @step=N or @time=10s");
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const ClusterOptions& options) {
  const api::WorkersSpec& workers = options.job.spec.workers;
  if (options.nodes < 1) {
    return base::InvalidArgument("--nodes " + std::to_string(options.nodes) +
                                 "; allowed is 1 or more");
  }
  std::int32_t replicas = workers.replicas;
  bool scaled = false;
  for (const Fault& fault : options.faults) {
    MUSTER_RETURN_IF_ERROR(CheckFault(options, fault));
    if (fault.kind == FaultKind::kJoin) ++replicas;
    scaled = scaled || fault.kind == FaultKind::kScale;
  }
  if (!scaled && replicas > workers.max_replicas) {
    return base::InvalidArgument("with all --join there are " + std::to_string(replicas) +
                                 " replicas, but maxReplicas is " +
                                 std::to_string(workers.max_replicas));
  }
  MUSTER_RETURN_IF_ERROR(CheckProgram(options.programs.muster));
  return CheckProgram(options.programs.muster_worker);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalCluster>> LocalCluster::Create(ClusterOptions options) {
  MUSTER_RETURN_IF_ERROR(CheckOptions(options));
  MUSTER_ASSIGN_OR_RETURN(auto state_dir, StateDir::Open(options.state_dir, options.job));
  MUSTER_ASSIGN_OR_RETURN(HeldPort held, HoldPort());
  MUSTER_ASSIGN_OR_RETURN(auto server, ApiServer::Create());
  MUSTER_ASSIGN_OR_RETURN(auto processes, ProcessTable::Create());
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return base::Internal("eventfd: " + base::ErrnoText(errno));
  return std::unique_ptr<LocalCluster>(new LocalCluster(
      std::make_unique<Impl>(std::move(options), std::move(state_dir), std::move(held.fd),
                             held.port, std::move(server), std::move(processes), std::move(wake))));
}

LocalCluster::LocalCluster(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LocalCluster::~LocalCluster() = default;

absl::StatusOr<Outcome> LocalCluster::Run() { return impl_->Run(); }
void LocalCluster::Drain() { impl_->Request(impl_->drain_requested); }
void LocalCluster::EndNow() { impl_->Request(impl_->end_requested); }
const std::string& LocalCluster::state_dir() const { return impl_->state_dir().path(); }
const std::string& LocalCluster::checkpoint_dir() const { return impl_->checkpoint_dir(); }
bool LocalCluster::resumes() const { return impl_->resumes(); }

}  // namespace muster::local
