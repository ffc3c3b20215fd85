// A job on a cluster as text for people. Pure.
#pragma once

#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/time.h"
#include "operator/kube/projection.h"

namespace muster::cli {

// What `muster status` knows: the job, and its pods as the API server lists them.
struct JobSight {
  api::TrainingJob job;
  std::vector<kube::PodRecord> pods;
};

// State, progress, members with their pods and nodes, what it waits for and why, conditions, changes
// of membership.
std::vector<std::string> StatusLines(const JobSight& sight, base::WallTime now);

// One Event as a line: age, type, reason, note.
struct EventLine {
  base::WallTime time;
  std::string type;
  std::string reason;
  std::string note;
  std::int64_t count = 1;
};
// Oldest first.
std::vector<std::string> EventLines(std::vector<EventLine> events, base::WallTime now);

// What a pod that does not run waits for, in one sentence; empty: it runs, or nobody knows.
std::string WaitsFor(const kube::PodRecord& pod);

}  // namespace muster::cli
