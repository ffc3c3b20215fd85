// One table a group of the spec, one for the status; the rows are those of operator/api.
#include "operator/cli/field_tables.h"

#include <string_view>

#include "operator/api/schema.h"
#include "operator/api/status_schema.h"

namespace muster::cli {
namespace {

using api::Field;
using api::FieldType;

// A cell may hold no bar.
std::string Cell(std::string_view text) {
  std::string out;
  for (char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string DefaultCell(const Field& field) {
  if (field.required) return "required";
  if (field.type == FieldType::kGroup || field.type == FieldType::kStringMap ||
      field.type == FieldType::kRules || field.type == FieldType::kIntegers) {
    return "";
  }
  return field.default_text.empty() ? "empty" : "`" + field.default_text + "`";
}

std::string ChangeCell(const Field& field) {
  if (field.type == FieldType::kGroup) return "";
  switch (field.change) {
    case api::Change::kAnyTime:
      return "always";
    case api::Change::kUntilStart:
      return "until the start";
    case api::Change::kWhileSuspended:
      return "until the start, then while suspended";
    case api::Change::kNever:
      return "never";
  }
  return "";
}

std::string Row(const Field& field) {
  std::string meaning = field.description;
  if (field.builtin) {
    meaning += *field.builtin == api::Builtin::kGpt ? " (`gpt`)" : " (`bench`)";
  }
  if (field.cluster_only) meaning += " *On one machine: no effect.*";
  return "| `" + field.path + "` | " + Cell(api::AllowedText(field)) + " | " + DefaultCell(field) +
         " | " + ChangeCell(field) + " | " + Cell(meaning) + " |\n";
}

bool IsShown(const Field& field, std::string_view part) {
  if (field.type == FieldType::kIgnored || field.type == FieldType::kGroup) return false;
  return field.path.starts_with(std::string(part) + ".") || field.path == part;
}

std::string SpecTable(std::string_view title, std::initializer_list<std::string_view> parts) {
  std::string out =
      "### " + std::string(title) +
      "\n\n| field | allowed | default | may change | meaning |\n|---|---|---|---|---|\n";
  for (const Field& field : api::Schema()) {
    for (std::string_view part : parts) {
      if (IsShown(field, part)) out += Row(field);
    }
  }
  return out + "\n";
}

std::string StatusTable() {
  std::string out = "### status\n\n| field | meaning |\n|---|---|\n";
  for (const api::StatusField& field : api::StatusSchema()) {
    out += "| `" + field.path + "` | " + Cell(field.description) + " |\n";
  }
  return out;
}

}  // namespace

std::string FieldTables() {
  return SpecTable("metadata", {"metadata"}) + SpecTable("spec.workers", {"spec.workers"}) +
         SpecTable("spec.program", {"spec.program"}) +
         SpecTable("spec.training", {"spec.training"}) +
         SpecTable("spec.data and spec.checkpoint", {"spec.data", "spec.checkpoint"}) +
         SpecTable("spec.elasticity", {"spec.elasticity"}) +
         SpecTable("spec.failurePolicy", {"spec.failurePolicy"}) +
         SpecTable("The rest of spec",
                   {"spec.suspend", "spec.managedBy", "spec.activeDeadlineSeconds",
                    "spec.ttlSecondsAfterFinished"}) +
         StatusTable();
}

}  // namespace muster::cli
