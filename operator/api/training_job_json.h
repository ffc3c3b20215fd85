// TrainingJob as JSON and back, with the names and spellings of docs (camelCase, "1s", RFC 3339).
//
// Parse(ToJson(x)) == x for what a job can hold; Parse trusts types to nobody and says which field
// is wrong, but leaves ranges to job_validation.h. Values only.
#pragma once

#include <string>
#include <string_view>

#include "operator/api/training_job.h"
#include "operator/base/status.h"

namespace muster::api {

// program.config holds the fields of the builtin alone; the others go back to their defaults.
std::string SpecToJson(const TrainingJobSpec& spec);
absl::StatusOr<TrainingJobSpec> ParseTrainingJobSpec(std::string_view json);

// indent < 0: one line. The record's checkpoint, result and kernel family are those of the status.
std::string StatusToJson(const TrainingJobStatus& status, int indent = -1);
absl::StatusOr<TrainingJobStatus> ParseTrainingJobStatus(std::string_view json);

// The whole object: apiVersion, kind, metadata, spec, status.
std::string TrainingJobToJson(const TrainingJob& job, int indent = -1);
absl::StatusOr<TrainingJob> ParseTrainingJob(std::string_view json);

std::string_view ToString(Builtin builtin);
std::string_view ToString(Reduction reduction);
std::string_view ToString(Transport transport);
std::string_view ToString(DataFormat format);
std::string_view ToString(FailureAction action);
std::string_view ToString(JobState state);

}  // namespace muster::api
