// The reconcile's status as the body of a server-side apply. Pure.
//
// It never has the record's fields (record_patch.h): those are written by Persist alone, and an
// apply that named them would take them over, or put an older record back.
#pragma once

#include <string>

#include "operator/api/training_job.h"

namespace muster::kube {

// The field manager under which the status is applied; the record has another, the client's.
inline constexpr char kStatusManager[] = "muster-status";

// `job` names the object: with its uid, so that the server refuses it (Aborted) for another job that
// has taken the name.
std::string StatusApplyBody(const api::TrainingJob& job, const api::TrainingJobStatus& status);

// Whether two statuses are one to StatusApplyBody.
bool SameApplied(const api::TrainingJobStatus& a, const api::TrainingJobStatus& b);

}  // namespace muster::kube
