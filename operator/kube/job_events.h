// What a job's decisions look like as Events. Pure.
//
// Names are made from what is said and when, so that a repeated post is one Event.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/job/plan.h"
#include "operator/job/report.h"
#include "operator/kube/client.h"

namespace muster::kube {

inline constexpr char kReportingController[] = "muster.dev/operator";

// Who says it, about which job, when.
struct EventSource {
  const api::TrainingJob& job;
  std::string_view instance;  // of the operator
  base::WallTime now;
};

// A decision about pods.
EventNote EventOfCreate(const EventSource& source, const job::CreatePod& create);
EventNote EventOfDelete(const EventSource& source, const job::DeletePod& wanted);
// What came of the members; nothing for what is no event, such as a step.
std::vector<EventNote> EventsOfReport(const EventSource& source, const job::Report& report);
// One for each condition whose status or reason changes.
std::vector<EventNote> EventsOfStatus(const EventSource& source,
                                      const std::vector<api::Condition>& before,
                                      const std::vector<api::Condition>& after);
// Anything else.
EventNote MakeEvent(const EventSource& source, bool warning, std::string reason, std::string action,
                    std::string note);

}  // namespace muster::kube
