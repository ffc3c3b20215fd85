#include "operator/kube/status_apply.h"

#include <nlohmann/json.hpp>

#include "operator/api/schema.h"
#include "operator/api/training_job_json.h"
#include "operator/kube/json.h"

namespace muster::kube {
namespace {

api::TrainingJobStatus WithoutRecord(api::TrainingJobStatus status) {
  status.membership.reset();
  status.checkpoint.reset();
  status.result.reset();
  status.kernel_family.clear();
  return status;
}

}  // namespace

std::string StatusApplyBody(const api::TrainingJob& job, const api::TrainingJobStatus& status) {
  const Json body = {{"apiVersion", api::kApiVersion},
                     {"kind", api::kKind},
                     {"metadata", {{"name", job.name}, {"namespace", job.ns}, {"uid", job.uid}}},
                     {"status", Json::parse(api::StatusToJson(WithoutRecord(status)))}};
  return Dump(body);
}

bool SameApplied(const api::TrainingJobStatus& a, const api::TrainingJobStatus& b) {
  return WithoutRecord(a) == WithoutRecord(b);
}

}  // namespace muster::kube
