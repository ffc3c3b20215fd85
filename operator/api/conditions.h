// Conditions as Kubernetes means them: one per type, and the time is that of the last change of
// status.
//
// Reasons are a closed list (operator/job/reasons.h and the verdicts of membership). Values only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/api/training_job.h"

namespace muster::api {

// In the order in which a status lists them.
inline constexpr std::string_view kConditionTypes[] = {
    "Admitted", "Running", "Degraded", "Resizing", "Suspended", "Succeeded", "Failed"};

// Puts `wanted` in. Its time is taken only when the status of that type changes. True: something
// did.
bool SetCondition(std::vector<Condition>& conditions, Condition wanted);

// Nothing when the type is not there.
const Condition* FindCondition(const std::vector<Condition>& conditions, std::string_view type);

// "True" status of that type.
bool IsTrue(const std::vector<Condition>& conditions, std::string_view type);

}  // namespace muster::api
