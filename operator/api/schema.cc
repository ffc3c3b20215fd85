// Joins the rows into the table and words what they allow.
#include "operator/api/schema.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <utility>

#include "operator/api/quantity.h"
#include "operator/api/schema_rows.h"

namespace muster::api {
namespace {

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

std::vector<Field> MakeSchema() {
  std::vector<Field> rows;
  AddMetadataRows(rows);
  AddWorkersRows(rows);
  AddProgramRows(rows);
  AddTrainingRows(rows);
  AddElasticityRows(rows);
  const TrainingJob defaults;
  for (Field& row : rows) {
    if (row.default_text.empty() && !row.required) row.default_text = FieldText(row, defaults);
  }
  return rows;
}

std::string_view Parent(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
}

std::string Folded(std::string_view word) {
  std::string out;
  for (char c : word) {
    if (c == '_' || c == '-') continue;
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

std::string NumberRange(const Field& field) {
  return std::string("a number ") + (field.low_open ? "above " : "from ") +
         FormatNumber(field.low) + (field.high_open ? " to below " : " to ") +
         FormatNumber(field.high);
}

std::string TextRange(const Field& field) {
  const std::string most = std::to_string(field.most);
  switch (field.form) {
    case TextForm::kAny:
      break;
    case TextForm::kJobName:
      return "at most " + most +
             " lower-case letters, digits and '-', a letter first and no '-' at the end";
    case TextForm::kDnsLabel:
      return "at most " + most +
             " lower-case letters, digits and '-', no '-' at the beginning or the end";
  }
  return "a text of at most " + most + " characters";
}

std::string Choices(const Field& field) {
  if (field.one_of.size() == 1) return std::string(field.one_of.front());
  std::string out = "one of ";
  for (std::size_t i = 0; i < field.one_of.size(); ++i) {
    if (i > 0) out += i + 1 == field.one_of.size() ? " and " : ", ";
    out += field.one_of[i];
  }
  return out;
}

std::string RangeText(const Field& field) {
  const std::string least = std::to_string(field.least);
  const std::string most = std::to_string(field.most);
  switch (field.type) {
    case FieldType::kGroup:
    case FieldType::kObject:
      return "a map of fields";
    case FieldType::kText:
      return TextRange(field);
    case FieldType::kInteger:
      return "an integer from " + least + " to " + most;
    case FieldType::kNumber:
      return NumberRange(field);
    case FieldType::kBoolean:
      return "true or false";
    case FieldType::kEnum:
      return Choices(field);
    case FieldType::kDuration:
      return "a duration from " + FormatDuration(base::Duration(field.least)) + " to " +
             FormatDuration(base::Duration(field.most)) + ", such as 500ms, 1s or 1h30m";
    case FieldType::kStringMap:
      return "a map from text to text";
    case FieldType::kRules:
      return "a list of at most " + most + " rules, each with an action";
    case FieldType::kIntegers:
      return "a list of at most 256 integers from " + least + " to " + most;
    case FieldType::kIgnored:
      return "anything";
  }
  return "";
}

}  // namespace

const std::vector<Field>& Schema() {
  static const std::vector<Field> schema = MakeSchema();
  return schema;
}

const Field* FindField(std::string_view path) {
  for (const Field& field : Schema()) {
    if (field.path == path) return &field;
  }
  return nullptr;
}

std::vector<const Field*> ChildrenOf(std::string_view path) {
  std::vector<const Field*> children;
  for (const Field& field : Schema()) {
    if (Parent(field.path) == path) children.push_back(&field);
  }
  return children;
}

std::string_view LeafName(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? path : path.substr(dot + 1);
}

std::string AllowedText(const Field& field) {
  std::string out = RangeText(field);
  if (field.nullable) out += ", or null";
  if (!field.why.empty()) out += " (" + field.why + ")";
  return out;
}

std::string FieldText(const Field& field, const TrainingJob& job) {
  TrainingJob copy = job;
  auto named = [&field](auto value) {
    return std::string(field.one_of.at(static_cast<std::size_t>(value)));
  };
  return std::visit(
      Overloaded{
          [](std::monostate) { return std::string(); },
          [&](FieldAccess<double> at) { return FormatNumber(at(copy)); },
          [&](FieldAccess<bool> at) { return std::string(at(copy) ? "true" : "false"); },
          [&](FieldAccess<std::string> at) { return at(copy); },
          [&](FieldAccess<base::Duration> at) { return FormatDuration(at(copy)); },
          [&](FieldAccess<std::optional<std::int64_t>> at) {
            return at(copy) ? std::to_string(*at(copy)) : std::string("null");
          },
          [&](FieldAccess<std::optional<base::Duration>> at) {
            return at(copy) ? FormatDuration(*at(copy)) : std::string("null");
          },
          [&](FieldAccess<Builtin> at) { return named(at(copy)); },
          [&](FieldAccess<Reduction> at) { return named(at(copy)); },
          [&](FieldAccess<Transport> at) { return named(at(copy)); },
          [&](FieldAccess<DeviceRequest> at) { return named(at(copy)); },
          [&](FieldAccess<DataFormat> at) { return named(at(copy)); },
          [&](auto at) { return std::to_string(at(copy)); },
      },
      field.ref);
}

std::string Nearest(std::string_view word, const std::vector<std::string_view>& known) {
  const std::string folded = Folded(word);
  std::string best;
  // A third of the word may be wrong, and one letter of a short one.
  std::size_t nearest = std::max<std::size_t>(1, folded.size() / 3) + 1;
  for (std::string_view candidate : known) {
    const std::size_t distance = EditDistance(folded, Folded(candidate));
    if (distance < nearest) {
      nearest = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace muster::api
