#include "operator/kube/job_events.h"

#include <cstdio>
#include <variant>

#include "operator/api/conditions.h"
#include "operator/api/schema.h"
#include "operator/base/sha256.h"

namespace muster::kube {
namespace {

// "0.31 s": what people compare, without the noise of the clock's last digits.
std::string Seconds(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, seconds < 10 ? "%.2f s" : "%.0f s", seconds);
  return text;
}

std::string Members(std::int32_t count) {
  return std::to_string(count) + (count == 1 ? " member" : " members");
}

struct OfReport {
  const EventSource& source;
  std::vector<EventNote> out = {};

  void operator()(const job::Evicted& evicted) {
    out.push_back(MakeEvent(source, true, "MemberEvicted", "Evict",
                            "member " + base::ToString(evicted.member) +
                                (evicted.node.empty() ? "" : " on node " + evicted.node) + ": " +
                                evicted.reason + ": " + evicted.message));
  }
  void operator()(const job::Rescaled& rescaled) {
    const api::Rescale& r = rescaled.rescale;
    std::string note = "epoch " + std::to_string(r.epoch.value) + ", " + r.cause + ": " +
                       std::to_string(r.from) + " to " + Members(r.to);
    if (r.stall_seconds > 0) note += ", training stood for " + Seconds(r.stall_seconds);
    if (r.steps_lost > 0) note += ", " + std::to_string(r.steps_lost) + " steps are done again";
    if (r.slots_recomputed > 0) {
      note += ", " + std::to_string(r.slots_recomputed) + " slots were handed out anew";
    }
    out.push_back(MakeEvent(source, false, "Rescaled", "Rescale", note));
  }
  void operator()(const job::CheckpointAbandoned& abandoned) {
    out.push_back(MakeEvent(source, abandoned.refused, "CheckpointAbandoned", "Checkpoint",
                            "the checkpoint of step " + std::to_string(abandoned.step.value) +
                                " was not committed: " + abandoned.reason));
  }
  void operator()(const job::RolledBack& rolled_back) {
    out.push_back(MakeEvent(source, true, "RolledBack", "Restore",
                            "training goes on after step " +
                                std::to_string(rolled_back.step.value) + ": " +
                                rolled_back.reason));
  }
  // Steps and beats are progress, and a checkpoint is in the status: many, and no news.
  void operator()(const job::StepCommitted&) {}
  void operator()(const job::Live&) {}
  void operator()(const job::CheckpointDone&) {}
  void operator()(const job::HeldOut&) {}
  void operator()(const job::Note&) {}
};

}  // namespace

EventNote MakeEvent(const EventSource& source, bool warning, std::string reason, std::string action,
                    std::string note) {
  EventNote event;
  event.ns = source.job.ns;
  event.type = warning ? "Warning" : "Normal";
  event.reason = std::move(reason);
  event.action = std::move(action);
  event.note = std::move(note);
  event.reporting_controller = kReportingController;
  event.reporting_instance = source.instance;
  event.time = source.now;
  event.regarding = {
      api::kApiVersion, api::kKind, {source.job.ns, source.job.name}, source.job.uid};
  const std::string said = source.job.uid + "\n" + event.reason + "\n" + event.note + "\n" +
                           std::to_string(source.now.time_since_epoch().count());
  event.name = source.job.name + "." + base::Sha256Hex(said).substr(0, 16);
  return event;
}

EventNote EventOfCreate(const EventSource& source, const job::CreatePod& create) {
  return MakeEvent(source, false, "PodCreated", "Create",
                   "created pod " + create.name + " for member " + base::ToString(create.member) +
                       ": " + create.reason +
                       (create.message.empty() ? "" : ": " + create.message));
}

EventNote EventOfDelete(const EventSource& source, const job::DeletePod& wanted) {
  return MakeEvent(source, false, "PodDeleted", "Delete",
                   std::string("deleted pod ") + wanted.name + (wanted.force ? " by force" : "") +
                       ": " + wanted.reason +
                       (wanted.message.empty() ? "" : ": " + wanted.message));
}

std::vector<EventNote> EventsOfReport(const EventSource& source, const job::Report& report) {
  OfReport of{source};
  std::visit(of, report);
  return std::move(of.out);
}

std::vector<EventNote> EventsOfStatus(const EventSource& source,
                                      const std::vector<api::Condition>& before,
                                      const std::vector<api::Condition>& after) {
  std::vector<EventNote> out;
  for (const api::Condition& condition : after) {
    const api::Condition* old = api::FindCondition(before, condition.type);
    const bool is_new = old == nullptr;
    if (is_new && condition.status != "True") continue;
    if (!is_new && old->status == condition.status && old->reason == condition.reason) continue;
    const bool bad =
        (condition.type == "Failed" || condition.type == "Degraded") && condition.status == "True";
    const bool refused = condition.type == "Admitted" && condition.status == "False";
    out.push_back(MakeEvent(source, bad || refused, condition.reason, "Update",
                            condition.type + " is " + condition.status + ": " + condition.message));
  }
  return out;
}

}  // namespace muster::kube
