// What a running local cluster tells whoever watches it: the reign's reports and its own, as
// values, in the order in which they happened.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/ids.h"
#include "operator/job/report.h"

namespace muster::local {

using job::CheckpointAbandoned;
using job::CheckpointDone;
using job::Evicted;
using job::HeldOut;
using job::Live;
using job::LiveMember;
using job::Note;
using job::Rescaled;
using job::RolledBack;
using job::StepCommitted;

struct PodStarted {
  base::MemberId member;
  std::string name;
  std::string node;
  std::int64_t pid = 0;
  std::string reason;  // why the plan wanted it
  friend bool operator==(const PodStarted&, const PodStarted&) = default;
};
struct PodExited {
  base::MemberId member;
  std::string name;
  std::string node;
  std::int64_t pid = 0;
  std::optional<int> exit_code;  // exactly one of the two is set
  std::optional<int> signal;
  std::vector<std::string> last_lines;  // of its log, at most 50; they are in logs/<name>.log too
  friend bool operator==(const PodExited&, const PodExited&) = default;
};
struct FaultFired {
  std::string fault;   // as the person wrote it
  std::string detail;  // "killed worker-2 (2.0, pid 4711) in forward"
  friend bool operator==(const FaultFired&, const FaultFired&) = default;
};
struct CoordinatorRestarted {
  std::int64_t pid = 0;
  std::string cause;  // how the one before it ended
  friend bool operator==(const CoordinatorRestarted&, const CoordinatorRestarted&) = default;
};
// The status object as the coordinator wrote it last.
struct StatusChanged {
  api::TrainingJobStatus status;
  friend bool operator==(const StatusChanged&, const StatusChanged&) = default;
};

using LocalEvent = std::variant<StepCommitted, Live, Evicted, Rescaled, CheckpointDone,
                                CheckpointAbandoned, HeldOut, RolledBack, PodStarted, PodExited,
                                FaultFired, CoordinatorRestarted, Note, StatusChanged>;

}  // namespace muster::local
