#include "operator/cli/job_text.h"

#include <algorithm>
#include <map>

#include "operator/api/conditions.h"
#include "operator/api/training_job_json.h"
#include "operator/base/pod_members.h"
#include "operator/cli/summary.h"
#include "operator/cli/text.h"

namespace muster::cli {
namespace {

std::string Age(base::WallTime since, base::WallTime now) {
  return Span(std::max(0.0, base::ToSeconds(now - since)));
}

// Rows with a head, each column as wide as its widest cell; the last one is not filled.
void AddTable(const std::vector<std::vector<std::string>>& rows, std::vector<std::string>& lines) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Columns(row[i]));
  }
  for (const auto& row : rows) {
    std::string line = "  ";
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i + 1 < row.size() ? PadRight(row[i], widths[i] + 2) : row[i];
    }
    lines.push_back(line);
  }
}

void AddHead(const api::TrainingJob& job, base::WallTime now, std::vector<std::string>& lines) {
  const api::TrainingJobStatus& status = job.status;
  lines.push_back(job.ns + "/" + job.name + "  " + std::string(api::ToString(status.state)) +
                  (status.start_time ? "  for " + Age(*status.start_time, now) : ""));
  const api::Progress& progress = status.progress;
  std::string line =
      "step " + std::to_string(progress.step) + " of " + std::to_string(job.spec.training.steps);
  if (!progress.loss.empty()) line += "   loss " + progress.loss;
  if (!progress.held_out_loss.empty()) line += "   held out " + progress.held_out_loss;
  if (progress.tokens_per_second > 0) {
    line += "   " + Short(progress.tokens_per_second) + " tokens/s";
  }
  if (progress.estimated_completion_time && *progress.estimated_completion_time > now) {
    line += "   ready in " + Age(now, *progress.estimated_completion_time);
  }
  lines.push_back(line);
  if (status.checkpoint) {
    lines.push_back("checkpoint of step " + std::to_string(status.checkpoint->step.value) + ", " +
                    Age(status.checkpoint->time, now) + " ago");
  }
  if (status.result) lines.push_back("digest " + status.result->digest);
}

// The pod's ranks in the view and who has them: one of each, or as many as it has processes.
struct Roles {
  std::string ranks = "-";
  std::string members;
};

Roles RolesOf(const api::TrainingJobStatus& status, const kube::PodRecord& pod) {
  Roles roles;
  if (status.membership) {
    const auto& members = status.membership->newest.members;
    for (std::size_t rank = 0; rank < members.size(); ++rank) {
      if (base::PodOf(members[rank], pod.processes) != pod.pod.member) continue;
      const bool first = roles.members.empty();
      roles.ranks = (first ? "" : roles.ranks + ",") + std::to_string(rank);
      roles.members += (first ? "" : ",") + base::ToString(members[rank]);
    }
  }
  if (roles.members.empty()) roles.members = base::ToString(pod.pod.member);
  return roles;
}

std::string PhaseOf(const kube::PodRecord& pod) {
  if (pod.pod.deleting) return "Terminating";
  switch (pod.pod.phase) {
    case job::PodPhase::kPending:
      return "Pending";
    case job::PodPhase::kRunning:
      return "Running";
    case job::PodPhase::kSucceeded:
      return "Succeeded";
    case job::PodPhase::kFailed:
      break;
  }
  if (pod.pod.exit_code) return "Failed (exit code " + std::to_string(*pod.pod.exit_code) + ")";
  if (pod.pod.signal) return "Failed (signal " + std::to_string(*pod.pod.signal) + ")";
  return "Failed";
}

void AddMembers(const JobSight& sight, std::vector<std::string>& lines) {
  const api::TrainingJobStatus& status = sight.job.status;
  std::string head =
      "members " + std::to_string(status.members) + " of " + std::to_string(status.desired_members);
  if (status.membership) {
    head += ", epoch " + std::to_string(status.membership->newest.epoch.value) + ", term " +
            std::to_string(status.membership->term.value);
  }
  lines.push_back(head);
  if (sight.pods.empty()) return;
  std::vector<kube::PodRecord> pods = sight.pods;
  std::ranges::stable_sort(pods, {}, [](const kube::PodRecord& p) { return p.pod.member; });
  std::vector<std::vector<std::string>> rows = {{"RANK", "MEMBER", "POD", "NODE", "PHASE"}};
  for (const kube::PodRecord& pod : pods) {
    const Roles roles = RolesOf(status, pod);
    rows.push_back({roles.ranks, roles.members, pod.pod.name,
                    pod.pod.node.empty() ? "-" : pod.pod.node, PhaseOf(pod)});
  }
  AddTable(rows, lines);
  for (const kube::PodRecord& pod : pods) {
    if (const std::string why = WaitsFor(pod); !why.empty()) {
      lines.push_back("  " + pod.pod.name + " waits: " + why);
    }
  }
}

void AddConditions(const api::TrainingJobStatus& status, base::WallTime now,
                   std::vector<std::string>& lines) {
  if (status.conditions.empty()) {
    lines.push_back(
        "no conditions yet: has an operator seen the job? (kubectl get pods -A -l "
        "app.kubernetes.io/name=muster)");
    return;
  }
  lines.push_back("conditions");
  std::vector<std::vector<std::string>> rows = {{"TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"}};
  for (const api::Condition& condition : status.conditions) {
    rows.push_back({condition.type, condition.status, Age(condition.last_transition_time, now),
                    condition.reason, condition.message.substr(0, condition.message.find('\n'))});
  }
  AddTable(rows, lines);
}

}  // namespace

std::string WaitsFor(const kube::PodRecord& pod) {
  if (pod.pod.phase != job::PodPhase::kPending) return "";
  if (!pod.pod.unschedulable.empty()) return "no node takes it: " + pod.pod.unschedulable;
  if (pod.pod.waiting_reason.empty()) return "";
  return pod.pod.waiting_reason +
         (pod.pod.waiting_message.empty() ? "" : ": " + pod.pod.waiting_message);
}

std::vector<std::string> StatusLines(const JobSight& sight, base::WallTime now) {
  std::vector<std::string> lines;
  AddHead(sight.job, now, lines);
  lines.push_back("");
  AddMembers(sight, lines);
  lines.push_back("");
  AddConditions(sight.job.status, now, lines);
  std::vector<std::string> rescales = RescaleLines(sight.job.status);
  if (!rescales.empty()) lines.push_back("");
  for (std::string& line : rescales) lines.push_back(std::move(line));
  return lines;
}

std::vector<std::string> EventLines(std::vector<EventLine> events, base::WallTime now) {
  std::ranges::stable_sort(events, {}, &EventLine::time);
  std::vector<std::vector<std::string>> rows = {{"AGE", "TYPE", "REASON", "MESSAGE"}};
  for (const EventLine& event : events) {
    rows.push_back(
        {Age(event.time, now), event.type, event.reason,
         event.note + (event.count > 1 ? " (x" + std::to_string(event.count) + ")" : "")});
  }
  std::vector<std::string> lines;
  if (events.empty()) {
    lines.push_back("no Events; the API server forgets them after an hour");
  } else {
    AddTable(rows, lines);
  }
  return lines;
}

}  // namespace muster::cli
