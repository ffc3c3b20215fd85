#include "operator/app/status_builder.h"

#include <algorithm>

#include "operator/api/conditions.h"
#include "operator/api/status_schema.h"
#include "operator/kube/labels.h"

namespace muster::app {
namespace {

template <typename T>
void KeepNewest(std::vector<T>& values, std::size_t most) {
  if (values.size() > most) {
    values.erase(values.begin(), values.end() - static_cast<std::ptrdiff_t>(most));
  }
}

// The oldest are forgotten, and first of all those that do not count for maxReplacements.
void BoundFailures(std::vector<api::FailureEntry>& failures) {
  auto excess = static_cast<std::int64_t>(failures.size()) - api::kMostFailures;
  std::erase_if(failures, [&](const api::FailureEntry& failure) {
    return excess > 0 && !failure.charged && excess-- > 0;
  });
  KeepNewest(failures, api::kMostFailures);
}

void TakeRecord(const membership::Snapshot& snapshot, base::WallTime now,
                api::TrainingJobStatus& status) {
  const api::Record& record = snapshot.record;
  if (record.term == base::Term()) return;  // nothing has been persisted yet
  status.membership = record;
  if (!record.kernel_family.empty()) status.kernel_family = record.kernel_family;
  if (record.checkpoint) {
    const bool same = status.checkpoint && status.checkpoint->digest == record.checkpoint->digest;
    const base::WallTime seen = same ? status.checkpoint->time : now;
    status.checkpoint = record.checkpoint;
    if (status.checkpoint->time == base::WallTime()) status.checkpoint->time = seen;
  } else {
    status.checkpoint.reset();  // the only one was damaged
  }
  if (record.result) status.result = record.result;
}

}  // namespace

api::TrainingJobStatus MakeStatus(const StatusInputs& in) {
  api::TrainingJobStatus status = in.written;
  status.observed_generation = in.job.generation;
  status.state = in.plan.state;
  for (api::Condition condition : in.plan.conditions) {
    condition.last_transition_time = in.now;
    api::SetCondition(status.conditions, std::move(condition));
  }
  if (!status.start_time && in.plan.started) status.start_time = in.now;
  if (in.plan.started && !in.plan.spec_hash.empty()) {
    status.spec_hash = in.plan.spec_hash;
    status.template_hash = in.plan.template_hash;
  }
  if (!in.worker_image.empty()) status.worker_image = in.worker_image;
  status.members = in.snapshot.size;
  status.desired_members = in.job.spec.workers.replicas * in.job.spec.workers.processes_per_worker;
  status.replicas = in.active_pods;
  status.selector = std::string(kube::kJobNameLabel) + "=" + in.job.name;
  status.progress = in.progress;
  // Who comes when all is done forms no view any more; the last one had these, and committed all steps.
  const api::Record& record = in.snapshot.record;
  if (record.result && in.snapshot.size == 0) {
    status.members = static_cast<std::int32_t>(record.newest.members.size());
    status.progress.step = in.job.spec.training.steps;
  }
  status.time_seconds = in.time_seconds;
  TakeRecord(in.snapshot, in.now, status);
  for (api::Rescale rescale : in.rescales) {
    if (rescale.time == base::WallTime()) rescale.time = in.now;
    status.rescales.push_back(std::move(rescale));
    ++status.rescale_count;
  }
  KeepNewest(status.rescales, in.most_rescales);
  for (api::FailureEntry& failure : status.failures) {
    const auto& excused = in.plan.excused;
    if (std::find(excused.begin(), excused.end(), failure.member) != excused.end()) {
      failure.charged = false;
    }
  }
  status.failures.insert(status.failures.end(), in.plan.failures.begin(), in.plan.failures.end());
  BoundFailures(status.failures);
  return status;
}

bool IsTransition(const api::TrainingJobStatus& written, const api::TrainingJobStatus& next) {
  if (written.state != next.state || written.conditions.size() != next.conditions.size())
    return true;
  for (std::size_t i = 0; i < next.conditions.size(); ++i) {
    if (written.conditions[i].status != next.conditions[i].status ||
        written.conditions[i].reason != next.conditions[i].reason) {
      return true;
    }
  }
  // Whoever changed the spec waits for the generation that answers it, and the API server for the
  // start that fixes it.
  if (written.observed_generation != next.observed_generation ||
      written.start_time != next.start_time || written.spec_hash != next.spec_hash ||
      written.template_hash != next.template_hash || written.worker_image != next.worker_image) {
    return true;
  }
  return written.members != next.members || written.rescale_count != next.rescale_count ||
         written.failures != next.failures || written.checkpoint != next.checkpoint ||
         written.result != next.result;
}

}  // namespace muster::app
