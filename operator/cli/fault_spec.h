// What a person writes to hurt their own run, as a value: worker-2@step=40:in=reduce.
//
// Pure: text in, Fault or a sentence out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "operator/local/fault.h"

namespace muster::cli {

// The argument of --kill, --stop, --term, --join or --scale.
absl::StatusOr<local::Fault> ParseFault(local::FaultKind kind, std::string_view spec);

// Whether these faults can happen in this job at all; the sentence names the first that cannot.
absl::Status CheckFaults(const std::vector<local::Fault>& faults, const api::TrainingJob& job,
                         int nodes);

}  // namespace muster::cli
