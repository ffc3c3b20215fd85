// Writes a job by the schema's table, and reads it back through the same table.
#include "operator/api/training_job_json.h"

#include <nlohmann/json.hpp>

#include "operator/api/job_validation.h"
#include "operator/api/json_fields.h"
#include "operator/api/json_node.h"
#include "operator/api/schema.h"

namespace muster::api {
namespace {

constexpr std::string_view kActions[] = {"Replace", "FailJob", "Ignore"};

Json RulesJson(const std::vector<FailureRule>& rules) {
  Json out = Json::array();
  for (const FailureRule& rule : rules) {
    Json item = {{"action", ToString(rule.action)}};
    if (!rule.exit_codes.empty()) item["exitCodes"] = rule.exit_codes;
    if (!rule.pod_condition.empty()) item["podCondition"] = rule.pod_condition;
    out.push_back(std::move(item));
  }
  return out;
}

Json ValueJson(const Field& field, const TrainingJob& job) {
  const std::string text = FieldText(field, job);
  switch (field.type) {
    case FieldType::kRules:
      return RulesJson(job.spec.failure_policy.rules);
    case FieldType::kObject: {
      Json parsed = Json::parse(text, nullptr, false);
      return parsed.is_object() ? parsed : Json::object();
    }
    case FieldType::kInteger:
    case FieldType::kNumber:
    case FieldType::kBoolean: {
      // The text is the JSON value's own spelling; a number that is not finite has none.
      Json parsed = Json::parse(text, nullptr, false);
      return parsed.is_discarded() ? Json() : parsed;
    }
    default:
      return field.nullable && text == "null" ? Json() : Json(text);
  }
}

// Puts `value` at "a.b.c" below `root`.
void PutAt(Json& root, std::string_view path, Json value) {
  Json* at = &root;
  for (;;) {
    const std::size_t dot = path.find('.');
    Json& next = (*at)[std::string(path.substr(0, dot))];
    if (dot == std::string_view::npos) {
      next = std::move(value);
      return;
    }
    at = &next;
    path.remove_prefix(dot + 1);
  }
}

Json SpecJson(const TrainingJobSpec& spec) {
  TrainingJob job;
  job.spec = spec;
  Json root = Json::object();
  for (const Field& field : Schema()) {
    if (field.type == FieldType::kGroup || field.path.find("[]") != std::string::npos) continue;
    if (field.builtin && *field.builtin != spec.program.builtin) continue;
    if (!field.path.starts_with("spec.")) continue;
    if (field.only_where_set && FieldText(field, job) == field.default_text) continue;
    PutAt(root, std::string_view(field.path).substr(5), ValueJson(field, job));
  }
  return root;
}

}  // namespace

std::string_view ToString(Builtin builtin) {
  return FindField("spec.program.builtin")->one_of.at(static_cast<std::size_t>(builtin));
}
std::string_view ToString(Reduction reduction) {
  return FindField("spec.training.reduction")->one_of.at(static_cast<std::size_t>(reduction));
}
std::string_view ToString(Transport transport) {
  return FindField("spec.training.transport")->one_of.at(static_cast<std::size_t>(transport));
}
std::string_view ToString(DataFormat format) {
  return FindField("spec.data.format")->one_of.at(static_cast<std::size_t>(format));
}
std::string_view ToString(FailureAction action) {
  return kActions[static_cast<std::size_t>(action)];
}

std::string SpecToJson(const TrainingJobSpec& spec) { return Dump(SpecJson(spec), -1); }

absl::StatusOr<TrainingJobSpec> ParseTrainingJobSpec(std::string_view json) {
  MUSTER_ASSIGN_OR_RETURN(const Node node, NodeFromJson(json));
  MUSTER_ASSIGN_OR_RETURN(TrainingJob job, ReadTrusted(node, "spec"));
  return job.spec;
}

std::string TrainingJobToJson(const TrainingJob& job, int indent) {
  const Json out = {{"apiVersion", kApiVersion},
                    {"kind", kKind},
                    {"metadata",
                     {{"name", job.name},
                      {"namespace", job.ns},
                      {"uid", job.uid},
                      {"generation", job.generation}}},
                    {"spec", SpecJson(job.spec)},
                    {"status", Json::parse(StatusToJson(job.status), nullptr, false)}};
  return Dump(out, indent);
}

absl::StatusOr<TrainingJob> ParseTrainingJob(std::string_view json) {
  const Json parsed = Json::parse(json, nullptr, false);
  if (parsed.is_discarded()) return base::InvalidArgument("the job is not JSON");
  MUSTER_ASSIGN_OR_RETURN(const Node node, NodeFromJson(json));
  MUSTER_ASSIGN_OR_RETURN(TrainingJob job, ReadTrusted(node, ""));
  absl::Status error;
  const JsonFields fields(parsed, "", &error);
  if (fields.Has("metadata")) {
    const JsonFields metadata = fields.Object("metadata");
    job.uid = metadata.Text("uid");
    job.generation = metadata.Integer<std::int64_t>("generation", 1);
  }
  MUSTER_RETURN_IF_ERROR(error);
  if (fields.Has("status")) {
    MUSTER_ASSIGN_OR_RETURN(job.status, ParseTrainingJobStatus(parsed["status"].dump()));
  }
  return job;
}

}  // namespace muster::api
