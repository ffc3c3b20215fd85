// What goes wrong in a schedule, and when: each fault waits for a step to be committed and then a
// moment, so that faults land in every phase of a step and of the recovery from the fault before.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim/cluster.h"

namespace muster::sim {

enum class FaultKind {
  kKill,
  kStop,
  kCoordinatorKill,
  kSecondCoordinator,
  kScale,
  kTerm,
  kCutOff,
  kHoldUp,
  kNodeKill,
  kCheckpoint,
  kKillAll,
  kChecksum,  // of the next reduction: what everybody got, or one member, is not what was sent
  kDamage,    // the newest checkpoint cannot be read any more, and everybody dies
  // Not drawn; of jobs that reduce through NCCL.
  kBreak,  // collectives break without a death
  kLeak,   // from now on, what rebuilds leave behind makes processes start again
};
std::string FaultName(FaultKind kind);

struct Fault {
  FaultKind kind = FaultKind::kKill;
  std::int64_t after_step = 0;
  base::Duration delay{0};
};

std::vector<Fault> DrawFaults(World& world, std::int64_t steps, std::int32_t count);
void Strike(Cluster& cluster, FaultKind kind);

}  // namespace muster::sim
