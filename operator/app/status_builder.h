// The status object from what is known: a pure function.
#pragma once

#include <vector>

#include "operator/api/status_schema.h"
#include "operator/api/training_job.h"
#include "operator/base/time.h"
#include "operator/job/plan.h"
#include "operator/membership/machine.h"

namespace muster::app {

struct StatusInputs {
  const api::TrainingJob& job;
  const api::TrainingJobStatus& written;  // last
  const job::Plan& plan;
  const membership::Snapshot& snapshot;
  api::Progress progress;
  api::TimeSeconds time_seconds;
  std::vector<api::Rescale> rescales;  // new ones
  std::int32_t active_pods = 0;
  std::string worker_image;                        // to be remembered; empty: nothing new
  std::size_t most_rescales = api::kMostRescales;  // of the newest; all of them on one machine
  base::WallTime now;
};

api::TrainingJobStatus MakeStatus(const StatusInputs& in);

// True when a watcher must see `next` at once; otherwise it may wait for the next regular write.
bool IsTransition(const api::TrainingJobStatus& written, const api::TrainingJobStatus& next);

}  // namespace muster::app
