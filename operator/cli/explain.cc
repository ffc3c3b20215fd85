// Text only; the table says everything else.
#include "operator/cli/explain.h"

#include <algorithm>
#include <vector>

#include "operator/api/schema.h"
#include "operator/cli/text.h"

namespace muster::cli {
namespace {

using api::Field;
using api::FieldType;

std::string DefaultOf(const Field& field) {
  if (field.required) return "required";
  if (field.type == FieldType::kGroup || field.type == FieldType::kRules ||
      field.type == FieldType::kStringMap || field.type == FieldType::kIntegers) {
    return "";
  }
  return field.default_text.empty() ? "default: empty" : "default: " + field.default_text;
}

std::string Entry(const Field& field) {
  std::string out = field.path + "\n";
  std::string facts = api::AllowedText(field);
  if (const std::string text = DefaultOf(field); !text.empty()) facts += "; " + text;
  if (field.builtin) {
    facts += *field.builtin == api::Builtin::kGpt ? "; program gpt" : "; program bench";
  }
  if (field.cluster_only) facts += "; matters on a cluster only";
  for (const std::string& line : Wrapped(field.description, 92)) out += "    " + line + "\n";
  for (const std::string& line : Wrapped(facts, 92)) out += "    " + line + "\n";
  return out;
}

bool Inside(const std::string& path, const std::string& group) {
  return path.size() > group.size() && path.starts_with(group) &&
         (path[group.size()] == '.' || path[group.size()] == '[');
}

}  // namespace

absl::StatusOr<std::string> Explain(const std::string& name) {
  std::string out;
  for (const Field& field : api::Schema()) {
    if (field.type == FieldType::kIgnored) continue;
    const bool wanted = name.empty() || field.path == name || Inside(field.path, name) ||
                        (name.find('.') == std::string::npos && api::LeafName(field.path) == name);
    if (wanted) out += Entry(field);
  }
  if (!out.empty()) return out;
  std::vector<std::string_view> known;
  for (const Field& field : api::Schema()) {
    if (field.type == FieldType::kIgnored) continue;
    known.push_back(name.find('.') == std::string::npos ? api::LeafName(field.path)
                                                        : std::string_view(field.path));
  }
  const std::string near = api::Nearest(name, known);
  return base::NotFound(
      "there is no field " + name +
      (near.empty() ? "; `muster explain` lists all" : "; did you mean " + near + "?"));
}

std::string SchemaTable() {
  std::vector<const Field*> leaves;
  std::size_t width = 0;
  for (const Field& field : api::Schema()) {
    if (field.type == FieldType::kGroup || field.type == FieldType::kIgnored) continue;
    leaves.push_back(&field);
    width = std::max(width, field.path.size());
  }
  std::string out;
  for (const Field* field : leaves) {
    out +=
        field->path + std::string(width + 2 - field->path.size(), ' ') + api::AllowedText(*field);
    if (const std::string text = DefaultOf(*field); !text.empty()) out += "; " + text;
    out += "\n";
  }
  return out;
}

}  // namespace muster::cli
