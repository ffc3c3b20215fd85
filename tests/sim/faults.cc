// See faults.h.
#include "tests/sim/faults.h"

#include <algorithm>

namespace muster::sim {

namespace {

Worker* AnyWorker(Cluster& cluster) {
  const std::vector<Worker*> living = cluster.Living();
  return living.empty() ? nullptr : living[cluster.world.Below(living.size())];
}

void RestartCoordinator(Cluster& cluster) {
  for (const auto& c : cluster.coordinators()) c->Kill();
  cluster.world.AfterMicros(5000, 600000, [&cluster] {
    if (cluster.Leader() == nullptr) cluster.StartCoordinator();
  });
}

// The old one goes on until it notices that its lease is gone, or sleeps and wakes up later
// believing that it reigns.
void SecondCoordinator(Cluster& cluster) {
  Coordinator* old = cluster.Leader();
  if (old == nullptr) return;
  const bool sleeps = cluster.world.Chance(0.6);
  if (sleeps) old->StopProcess();
  cluster.StartCoordinator();
  const base::Duration wakes = sleeps ? cluster.world.Micros(100000, 3000000) : base::Duration(0);
  cluster.world.After(wakes, [old] { old->ContinueProcess(); });
  cluster.world.After(wakes + cluster.world.Micros(0, 400000), [&cluster, old] {
    old->Kill();
    if (cluster.Leader() == nullptr) cluster.StartCoordinator();
  });
}

void Scale(Cluster& cluster) {
  api::WorkersSpec& workers = cluster.job.spec.workers;
  const auto low = static_cast<std::uint64_t>(workers.min_replicas);
  workers.replicas = static_cast<std::int32_t>(
      low + cluster.world.Below(static_cast<std::uint64_t>(workers.max_replicas) + 1 - low));
  cluster.world.Trace([&] { return "scale to " + std::to_string(workers.replicas); });
}

void KillNode(Cluster& cluster) {
  Worker* first = AnyWorker(cluster);
  if (first == nullptr) return;
  const std::string node = first->node();
  for (Worker* w : cluster.Living()) {
    if (w->node() == node) w->Kill();
  }
  Coordinator* leader = cluster.Leader();
  if (leader != nullptr && cluster.world.Chance(0.5)) leader->Post(membership::NodeSuspect{node});
}

void StrikeWorker(Cluster& cluster, FaultKind kind) {
  Worker* worker = AnyWorker(cluster);
  if (worker == nullptr) return;
  World& world = cluster.world;
  if (kind == FaultKind::kKill) worker->Kill();
  if (kind == FaultKind::kStop) {
    worker->StopProcess();
    world.AfterMicros(50000, world.Chance(0.5) ? 800000 : 6000000,
                      [worker] { worker->ContinueProcess(); });
  }
  if (kind == FaultKind::kTerm) {
    const double grace = 1 + static_cast<double>(world.Below(5));
    // With one process, the process: its pod is replaced when it has gone.
    const std::vector<Worker*> all = cluster.SamePod(*worker);
    if (cluster.job.spec.workers.processes_per_worker == 1) {
      worker->Term(grace);
    } else {
      cluster.Terminate(*worker, grace);
    }
    Coordinator* leader = cluster.Leader();
    if (leader != nullptr && world.Chance(0.5)) {
      for (const Worker* w : all) {
        leader->Post(membership::PodLeaving{w->id(), base::FromSeconds(grace), "deleted"});
      }
    }
    world.After(base::FromSeconds(grace), [all] {
      for (Worker* w : all) w->Kill();
    });
  }
  if (kind == FaultKind::kCutOff)
    worker->CutOff(world.Micros(1000, world.Chance(0.5) ? 100000 : 3000000));
  if (kind == FaultKind::kHoldUp)
    cluster.network.HoldUp(*worker, world.Micros(50000, world.Chance(0.5) ? 700000 : 2500000));
}

}  // namespace

std::string FaultName(FaultKind kind) {
  static constexpr const char* kNames[] = {"kill",
                                           "stop",
                                           "coordinator kill",
                                           "second coordinator",
                                           "scale",
                                           "term",
                                           "cut off",
                                           "hold up",
                                           "node kill",
                                           "checkpoint",
                                           "kill all",
                                           "checksum",
                                           "damage",
                                           "break",
                                           "leak"};
  return kNames[static_cast<int>(kind)];
}

std::vector<Fault> DrawFaults(World& world, std::int64_t steps, std::int32_t count) {
  std::vector<Fault> faults;
  for (std::int32_t i = 0; i < count; ++i) {
    Fault fault;
    fault.kind = static_cast<FaultKind>(world.Below(13));
    // All at once ends the job's memory: rarely, or nothing but roll-backs would be tested.
    const bool all = fault.kind == FaultKind::kKillAll || fault.kind == FaultKind::kDamage;
    // A third in a row would end the job, and rightly (E8).
    const auto before = std::ranges::count(faults, FaultKind::kChecksum, &Fault::kind);
    if (fault.kind == FaultKind::kChecksum && before == 2) fault.kind = FaultKind::kKill;
    if (all && world.Chance(0.7)) fault.kind = FaultKind::kKill;
    // Faults often strike together, or into the recovery from the one before.
    const bool together = i > 0 && world.Chance(0.4);
    fault.after_step =
        together ? faults.back().after_step
                 : static_cast<std::int64_t>(world.Below(static_cast<std::uint64_t>(steps) + 1));
    fault.delay = (together ? faults.back().delay : base::Duration(0)) +
                  world.Micros(0, world.Chance(0.3) ? 600000 : 40000);
    faults.push_back(fault);
  }
  return faults;
}

void Strike(Cluster& cluster, FaultKind kind) {
  cluster.world.Trace([&] { return "FAULT " + FaultName(kind); });
  switch (kind) {
    case FaultKind::kCoordinatorKill:
      return RestartCoordinator(cluster);
    case FaultKind::kSecondCoordinator:
      return SecondCoordinator(cluster);
    case FaultKind::kScale:
      return Scale(cluster);
    case FaultKind::kNodeKill:
      return KillNode(cluster);
    case FaultKind::kCheckpoint:
      if (Coordinator* leader = cluster.Leader()) leader->Post(membership::CheckpointNow{});
      return;
    case FaultKind::kChecksum:
      return cluster.rings.CorruptNext();
    case FaultKind::kBreak:
      return cluster.rings.BreakNext(static_cast<std::int32_t>(1 + cluster.world.Below(3)));
    case FaultKind::kLeak:
      cluster.leak_after = 2;
      return;
    case FaultKind::kDamage:
      cluster.disk.DamageNewest();
      [[fallthrough]];
    case FaultKind::kKillAll:
      for (Worker* w : cluster.Living()) w->Kill();
      return;
    case FaultKind::kKill:
    case FaultKind::kStop:
    case FaultKind::kTerm:
    case FaultKind::kCutOff:
    case FaultKind::kHoldUp:
      return StrikeWorker(cluster, kind);
  }
}

}  // namespace muster::sim
