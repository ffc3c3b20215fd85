// Walks the two tables and writes OpenAPI; what OpenAPI cannot say is in crd_rules.cc.
#include "operator/api/crd.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "operator/api/crd_rules.h"
#include "operator/api/crd_yaml.h"
#include "operator/api/quantity.h"
#include "operator/api/schema.h"
#include "operator/api/status_schema.h"

namespace muster::api {
namespace {

using Json = nlohmann::ordered_json;

// As kubectl explain shows it: meaning, what is allowed where no keyword says it, and when it may
// change.
std::string Description(const Field& field) {
  std::string text = field.description;
  if (field.type == FieldType::kDuration) text += " Allowed: " + AllowedText(field) + ".";
  if (!field.why.empty()) text += " (" + field.why + ")";
  if (field.path == "spec.workers.maxReplicas") text += " Default: replicas at creation.";
  if (field.builtin) {
    text += *field.builtin == Builtin::kGpt ? " Program gpt." : " Program bench.";
    text += " Default: " + (field.default_text.empty() ? "empty" : field.default_text) + ".";
  }
  switch (field.change) {
    case Change::kAnyTime:
      break;
    case Change::kUntilStart:
      text += " Fixed once the job has started.";
      break;
    case Change::kWhileSuspended:
      text += " Once the job has started it changes only while the job is suspended.";
      break;
    case Change::kNever:
      text += " Never changes.";
      break;
  }
  return text;
}

Json RuleJson(const CelRule& rule) {
  Json out = {{"rule", rule.rule}, {"message", rule.message}};
  if (!rule.message_expression.empty()) out["messageExpression"] = rule.message_expression;
  if (!rule.field.empty()) out["fieldPath"] = "." + rule.field;
  if (!rule.reason.empty()) out["reason"] = rule.reason;
  return out;
}

void AddRules(const std::string& path, Json& out) {
  for (const CelRule& rule : CelRules()) {
    if (rule.at == path) out["x-kubernetes-validations"].push_back(RuleJson(rule));
  }
}

Json WholeOrNot(double value) {
  const bool whole = value == std::floor(value);
  return whole ? Json(static_cast<std::int64_t>(value)) : Json(value);
}

// A default that does not depend on other fields. Those of program.config do: each program has its
// own, and one written into every object would say that a bench has layers.
bool HasDefault(const Field& field) {
  if (field.required || field.nullable || field.builtin) return false;
  return field.path != "spec.workers.maxReplicas";
}

Json Default(const Field& field) {
  switch (field.type) {
    case FieldType::kGroup:
    case FieldType::kObject:
      return Json::object();
    case FieldType::kRules:
    case FieldType::kIntegers:
      return Json::array();
    case FieldType::kInteger:
    case FieldType::kNumber:
    case FieldType::kBoolean:
      return Json::parse(field.default_text);
    default:
      return field.default_text;
  }
}

Json FieldJson(const Field& field);

void AddProperties(const std::string& path, Json& out) {
  Json required = Json::array();
  for (const Field* child : ChildrenOf(path)) {
    const std::string name(LeafName(child->path));
    if (child->required) required.push_back(name);
    out["properties"][name] = FieldJson(*child);
  }
  if (!required.empty()) out["required"] = std::move(required);
}

void AddNumber(const Field& field, Json& out) {
  out["minimum"] = WholeOrNot(field.low);
  if (field.low_open) out["exclusiveMinimum"] = true;
  out["maximum"] = WholeOrNot(field.high);
  if (field.high_open) out["exclusiveMaximum"] = true;
}

void AddList(const Field& field, Json& out) {
  if (field.type == FieldType::kRules) {
    out["maxItems"] = field.most;
    out["items"] = {{"type", "object"}, {"description", "A rule."}};
    AddProperties(field.path + "[]", out["items"]);
  } else {
    out["maxItems"] = 256;
    out["items"] = {{"type", "integer"},
                    {"format", "int32"},
                    {"minimum", field.least},
                    {"maximum", field.most}};
  }
  out["x-kubernetes-list-type"] = "atomic";
}

// The keywords of the field's type.
void AddType(const Field& field, Json& out) {
  switch (field.type) {
    case FieldType::kGroup:
      AddProperties(field.path, out);
      break;
    case FieldType::kText:
      out["maxLength"] = field.most;
      break;
    case FieldType::kInteger:
      out["format"] = field.most <= std::numeric_limits<std::int32_t>::max() ? "int32" : "int64";
      out["minimum"] = field.least;
      out["maximum"] = field.most;
      break;
    case FieldType::kNumber:
      AddNumber(field, out);
      break;
    case FieldType::kEnum:
      out["enum"] = field.one_of;
      break;
    case FieldType::kDuration:
      out["maxLength"] = 64;
      out["x-kubernetes-validations"].push_back(RuleJson(DurationRule(field)));
      break;
    case FieldType::kObject:
      out["x-kubernetes-preserve-unknown-fields"] = true;
      break;
    case FieldType::kRules:
    case FieldType::kIntegers:
      AddList(field, out);
      break;
    case FieldType::kBoolean:
    case FieldType::kStringMap:
    case FieldType::kIgnored:
      break;
  }
}

const char* TypeName(FieldType type) {
  switch (type) {
    case FieldType::kInteger:
      return "integer";
    case FieldType::kNumber:
      return "number";
    case FieldType::kBoolean:
      return "boolean";
    case FieldType::kRules:
    case FieldType::kIntegers:
      return "array";
    case FieldType::kText:
    case FieldType::kEnum:
    case FieldType::kDuration:
      return "string";
    default:
      return "object";
  }
}

Json FieldJson(const Field& field) {
  Json out = {{"type", TypeName(field.type)}, {"description", Description(field)}};
  if (HasDefault(field)) out["default"] = Default(field);
  // Elsewhere the API server drops a null, and writes the default in its place where there is one.
  if (field.nullable) out["nullable"] = true;
  AddType(field, out);
  AddRules(field.path, out);
  return out;
}

Json StatusJson(const StatusField& field);

void AddStatusProperties(const std::string& path, Json& out) {
  Json required = Json::array();
  for (const StatusField* child : StatusChildrenOf(path)) {
    const std::string name(LeafName(child->path));
    if (child->required) required.push_back(name);
    out["properties"][name] = StatusJson(*child);
  }
  if (!required.empty()) out["required"] = std::move(required);
}

void AddStatusList(const StatusField& field, Json& out) {
  if (field.most > 0) out["maxItems"] = field.most;
  out["items"] = {{"type", "object"}};
  AddStatusProperties(field.path + "[]", out["items"]);
  out["x-kubernetes-list-type"] = field.list_key.empty() ? "atomic" : "map";
  if (!field.list_key.empty()) out["x-kubernetes-list-map-keys"] = Json::array({field.list_key});
}

Json StatusJson(const StatusField& field) {
  Json out = {{"type", "object"}, {"description", field.description}};
  switch (field.type) {
    case StatusType::kGroup:
      AddStatusProperties(field.path, out);
      break;
    case StatusType::kList:
      out["type"] = "array";
      AddStatusList(field, out);
      break;
    case StatusType::kNumberMap:
      out["additionalProperties"] = {{"type", "number"}};
      break;
    case StatusType::kText:
      out["type"] = "string";
      if (!field.names.empty()) out["enum"] = field.names;
      break;
    case StatusType::kInteger:
      out["type"] = "integer";
      out["format"] = "int64";
      out["minimum"] = 0;
      break;
    case StatusType::kNumber:
      out["type"] = "number";
      break;
    case StatusType::kBoolean:
      out["type"] = "boolean";
      break;
    case StatusType::kTime:
      out["type"] = "string";
      out["format"] = "date-time";
      break;
  }
  return out;
}

Json RootJson() {
  const Field& name = *FindField("metadata.name");
  Json out = {
      {"type", "object"},
      {"description",
       "A training job whose workers may come and go: its result is, bit for bit, that of a "
       "run in which nothing failed."}};
  Json& properties = out["properties"];
  for (const char* path : {"apiVersion", "kind"}) {
    properties[path] = {{"type", "string"}, {"description", FindField(path)->description}};
  }
  properties["metadata"] = {
      {"type", "object"},
      {"properties",
       {{"name",
         {{"type", "string"}, {"description", name.description}, {"maxLength", name.most}}}}}};
  properties["spec"] = FieldJson(*FindField("spec"));
  Json status = {{"type", "object"}, {"description", "What is; written by the operator alone."}};
  AddStatusProperties("status", status);
  AddRules("status", status);
  properties["status"] = std::move(status);
  out["required"] = Json::array({"spec"});
  AddRules("", out);
  return out;
}

Json Column(const char* name, const char* type, const char* path, const char* description) {
  return {{"name", name}, {"type", type}, {"description", description}, {"jsonPath", path}};
}

Json VersionJson() {
  const Json columns = Json::array({
      Column("State", "string", ".status.state", "One word for people."),
      Column("Members", "string", ".status.members", "Members of the view and members wanted."),
      Column("Epoch", "integer", ".status.membership.epoch", "Number of the newest view."),
      Column("Step", "integer", ".status.progress.step", "Steps that every member has committed."),
      Column("Loss", "string", ".status.progress.loss", "Mean loss of the last step."),
      Column("Age", "date", ".metadata.creationTimestamp", "Since its creation."),
  });
  return {{"name", "v1alpha1"},
          {"served", true},
          {"storage", true},
          {"additionalPrinterColumns", columns},
          {"subresources",
           {{"status", Json::object()},
            {"scale",
             {{"specReplicasPath", ".spec.workers.replicas"},
              {"statusReplicasPath", ".status.replicas"},
              {"labelSelectorPath", ".status.selector"}}}}},
          {"schema", {{"openAPIV3Schema", RootJson()}}}};
}

}  // namespace

std::string CrdYaml() {
  const Json crd = {{"apiVersion", "apiextensions.k8s.io/v1"},
                    {"kind", "CustomResourceDefinition"},
                    {"metadata", {{"name", "trainingjobs.muster.dev"}}},
                    {"spec",
                     {{"group", "muster.dev"},
                      {"names",
                       {{"kind", kKind},
                        {"listKind", "TrainingJobList"},
                        {"plural", "trainingjobs"},
                        {"singular", "trainingjob"},
                        {"shortNames", Json::array({"tj"})},
                        {"categories", Json::array({"all"})}}},
                      {"scope", "Namespaced"},
                      {"versions", Json::array({VersionJson()})}}}};
  return "# Written by `hack/dev crd` from the tables of fields in operator/api: change those.\n" +
         ToYaml(crd);
}

}  // namespace muster::api
