// What the API server's own rules cannot see (docs/trainingjob.md, "What an update may change"):
// the job goes on with the workers that it has, and no pod is made until it is put right.
#include "operator/api/conditions.h"
#include "operator/api/worker_gpus.h"
#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {
namespace {

// The update that ends a suspension may bring another template, so what the status says counts too.
bool IsOrWasSuspended(const api::TrainingJob& job) {
  if (job.spec.suspend) return true;
  const api::Condition* written = api::FindCondition(job.status.conditions, reasons::kSuspended);
  return written != nullptr && (written->status == "True" || written->reason == reasons::kDraining);
}

void Compare(const Observed& observed, Draft& draft) {
  const api::TrainingJobStatus& status = observed.job.status;
  draft.plan.spec_hash = status.spec_hash.empty() ? observed.spec_hash : status.spec_hash;
  draft.plan.template_hash = observed.template_hash;
  if (draft.plan.spec_hash != observed.spec_hash) {
    draft.not_admitted = Verdict{
        reasons::kSpecChanged,
        "a field of spec that decides the result was changed after the start: program, training, "
        "data, checkpoint.path or workers.processesPerWorker; put it back, or make a new job"};
  } else if (!observed.reign_spec_hash.empty() && observed.spec_hash != observed.reign_spec_hash) {
    draft.plan.new_reign = true;
  }
  const bool same = status.template_hash.empty() || status.template_hash == observed.template_hash;
  if (same || IsOrWasSuspended(observed.job)) return;
  draft.plan.template_hash = status.template_hash;
  if (draft.not_admitted) return;
  draft.not_admitted =
      Verdict{reasons::kTemplateChanged,
              "spec.workers.template was changed while the job runs, and workers of two templates "
              "are not mixed; put it back, or set spec.suspend to true, change it, and set "
              "spec.suspend to false"};
}

// One GPU for each process, none idle and none shared: a process drives the GPU of its number, and
// those beyond would stand reserved for nobody.
std::optional<Verdict> GpuMismatch(const Observed& observed) {
  if (!observed.worker_gpus_problem.empty()) {
    return Verdict{reasons::kGpuMismatch, observed.worker_gpus_problem};
  }
  const std::int32_t processes = observed.job.spec.workers.processes_per_worker;
  if (observed.worker_gpus == 0 || observed.worker_gpus == processes) return std::nullopt;
  return Verdict{reasons::kGpuMismatch,
                 "spec.workers.template asks for " + std::to_string(observed.worker_gpus) + " of " +
                     api::kGpuResource +
                     " for each worker, and spec.workers.processesPerWorker is " +
                     std::to_string(processes) + "; each process drives one GPU, so " +
                     std::to_string(processes) + " is allowed, or none to train on CPUs"};
}

}  // namespace

Next RuleAdmission(const Observed& observed, Draft& draft) {
  if (!observed.on_cluster) return Next::kGoOn;
  draft.plan.started =
      observed.job.status.start_time || observed.membership.had_view || !observed.pods.empty();
  draft.not_admitted = GpuMismatch(observed);
  Compare(observed, draft);
  return Next::kGoOn;
}

}  // namespace muster::job
