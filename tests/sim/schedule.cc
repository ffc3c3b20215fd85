// See schedule.h.
#include "tests/sim/schedule.h"

#include <algorithm>

#include "tests/sim/cluster.h"
#include "tests/sim/faults.h"

namespace muster::sim {

namespace {

constexpr std::int64_t kSteps = 30;
// A fault-free schedule takes about two simulated seconds; replacements wait up to four in a crash
// loop, joins have deadlines of ten. What is not over by then hangs.
constexpr base::Time kPatience{std::chrono::seconds(150)};

// Every fourth job has pods of two processes. Not drawn: the others stay what they were.
void GivePodsTwoProcesses(api::WorkersSpec& workers) {
  workers.processes_per_worker = 2;
  workers.max_replicas = 3;
  workers.replicas = 1 + workers.replicas % 3;
  workers.min_replicas = std::min(workers.min_replicas, workers.replicas);
}

// Every fourth job reduces through NCCL: joins lie apart from each other, collectives break without a
// death, and what rebuilds leave behind makes processes start again. Not drawn either.
bool ReducesByNccl(std::uint64_t seed) { return seed % 4 == 1; }

void AddNcclFaults(World& world, std::vector<Fault>& faults) {
  const auto after = [&] { return static_cast<std::int64_t>(world.Below(kSteps)); };
  faults.push_back({FaultKind::kBreak, after(), world.Micros(0, 40000)});
  if (world.Chance(0.5)) faults.push_back({FaultKind::kLeak, after(), world.Micros(0, 40000)});
}

api::TrainingJob DrawJob(World& world, const Numbers& numbers, bool two_processes) {
  api::TrainingJob job;
  job.name = "sim";
  job.uid = kJobUid;
  api::WorkersSpec& workers = job.spec.workers;
  workers.replicas = static_cast<std::int32_t>(2 + world.Below(6));
  workers.min_replicas =
      static_cast<std::int32_t>(1 + world.Below(static_cast<std::uint64_t>(workers.replicas)));
  workers.max_replicas = 7;
  if (two_processes) GivePodsTwoProcesses(workers);
  job.spec.training.steps = kSteps;
  job.spec.training.slots = numbers.slots;
  job.spec.training.seed = numbers.seed;
  job.spec.training.reduction =
      numbers.exact32 ? api::Reduction::kExact32 : api::Reduction::kExact64;
  job.spec.training.evaluate_every_steps =
      world.Chance(0.5) ? static_cast<std::int64_t>(3 + world.Below(10)) : 0;
  const bool checkpoints = world.Chance(0.8);
  if (checkpoints) job.spec.checkpoint.path = "/checkpoints";
  job.spec.checkpoint.every_steps =
      checkpoints && world.Chance(0.8) ? static_cast<std::int64_t>(2 + world.Below(12)) : 0;
  job.spec.elasticity.heartbeat_timeout = kHeartbeatTimeout;
  return job;
}

}  // namespace

ScheduleResult RunSchedule(std::uint64_t seed, std::int32_t count, bool tracing) {
  World world(seed, tracing);
  Numbers numbers;
  numbers.seed = base::Mix64(seed + 1);
  numbers.slots = static_cast<std::int32_t>(7 + world.Below(4));
  numbers.exact32 = world.Chance(0.4);
  const bool nccl = ReducesByNccl(seed);
  Cluster cluster(world, numbers, DrawJob(world, numbers, seed % 4 == 3));
  if (nccl) cluster.device = "gpu, sums by nccl";
  std::vector<Fault> faults = DrawFaults(world, kSteps, count);
  if (nccl && count > 0) AddNcclFaults(world, faults);

  ScheduleResult result;
  for (const Fault& fault : faults) {
    result.faults += (result.faults.empty() ? "" : ", ") + FaultName(fault.kind) + " after step " +
                     std::to_string(fault.after_step);
    if (fault.after_step == 0)
      world.After(fault.delay, [&cluster, fault] { Strike(cluster, fault.kind); });
  }
  cluster.on_step = [&](std::int64_t step) {
    for (const Fault& fault : faults) {
      if (fault.after_step == step)
        world.After(fault.delay, [&cluster, fault] { Strike(cluster, fault.kind); });
    }
  };
  while (!cluster.Over() && world.violations().empty()) {
    if (!world.RunOne(kPatience)) {
      world.Violation(std::string("the job did not end: ") +
                      (cluster.succeeded ? "succeeded, but workers live on"
                                         : "step " + std::to_string(cluster.highest)));
    }
  }
  if (cluster.Over()) cluster.CheckLines();
  result.violations = world.violations();
  result.events = world.events();
  result.roll_backs = cluster.roll_backs;
  result.seconds = world.seconds();
  return result;
}

}  // namespace muster::sim
