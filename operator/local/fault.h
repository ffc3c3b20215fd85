// A fault is something that `muster run` does to its own machine on purpose: a value, told by
// people.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "operator/base/ids.h"
#include "operator/base/time.h"

namespace muster::local {

enum class FaultKind {
  kKill,   // SIGKILL
  kStop,   // SIGSTOP, and SIGCONT after `duration`
  kTerm,   // SIGTERM: a drain of that worker
  kScale,  // not a signal: spec.workers.replicas becomes `replicas`
  kJoin,   // not a signal: one replica more than now
};

enum class TargetKind { kWorker, kNode, kCoordinator, kJob };

enum class FaultPhase { kForward, kOverlap, kReduce, kCommit, kCheckpoint, kRebuild, kTransfer };
std::string_view ToString(FaultPhase phase);

// When a fault is due. Exactly one of the two is set.
struct Trigger {
  std::optional<base::Step> step;      // fires when step - 1 is first reported committed
  std::optional<base::Duration> time;  // after the start of the run
  friend bool operator==(const Trigger&, const Trigger&) = default;
};

struct Fault {
  FaultKind kind = FaultKind::kKill;
  TargetKind target = TargetKind::kWorker;
  std::int32_t index = 0;  // K of worker-K (the pod that holds ordinal K then) or node-K
  Trigger trigger;
  std::optional<FaultPhase> phase;  // the target stops there first, so that the fault lands in it
  std::optional<base::Duration> duration;  // kStop: wakes after it; none: never
  std::int32_t replicas = 0;               // kScale
  std::string text;                        // as the person wrote it; what messages show
  friend bool operator==(const Fault&, const Fault&) = default;
};

}  // namespace muster::local
