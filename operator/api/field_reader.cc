// One function per type of field; a scalar's own spelling decides what it is, quotes make it a
// text.
#include "operator/api/field_reader.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "operator/api/json_node.h"
#include "operator/api/quantity.h"

namespace muster::api {
namespace {

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

bool IsScalar(const Node& node) { return node.kind == Node::Kind::kScalar; }

bool HasForm(const std::string& text, TextForm form) {
  if (form == TextForm::kAny) return true;
  auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.empty() || text.front() == '-' || text.back() == '-') return false;
  if (form == TextForm::kJobName && !letter(text.front())) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return letter(c) || digit(c) || c == '-'; });
}

// YAML 1.1, which kubectl reads, takes 010 for eight: no number here begins with a needless zero.
bool HasNeedlessZero(std::string_view text) {
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  return text.size() > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9';
}

bool IntegerInRange(const Field& field, const Node& node, Ranges ranges, std::int64_t* value) {
  if (!ReadInteger(node, value)) return false;
  return ranges == Ranges::kTrusted || (*value >= field.least && *value <= field.most);
}

bool NumberInRange(const Field& field, const Node& node, Ranges ranges, double* value) {
  if (!IsScalar(node)) return false;
  const ScalarKind kind = KindOf(node);
  if (kind != ScalarKind::kInteger && kind != ScalarKind::kNumber) return false;
  if (HasNeedlessZero(node.text)) return false;
  const char* begin = node.text.data() + (node.text.front() == '+' ? 1 : 0);
  const char* end = node.text.data() + node.text.size();
  if (std::from_chars(begin, end, *value).ec != std::errc()) return false;
  if (ranges == Ranges::kTrusted) return true;
  const bool above = field.low_open ? *value > field.low : *value >= field.low;
  const bool below = field.high_open ? *value < field.high : *value <= field.high;
  return above && below;
}

bool DurationInRange(const Field& field, const Node& node, Ranges ranges, base::Duration* value) {
  if (!IsScalar(node) || KindOf(node) != ScalarKind::kText) return false;
  const absl::StatusOr<base::Duration> parsed = ParseDuration(node.text);
  if (!parsed.ok()) return false;
  *value = *parsed;
  return ranges == Ranges::kTrusted ||
         (value->count() >= field.least && value->count() <= field.most);
}

bool TextInRange(const Field& field, const Node& node, Ranges ranges, std::string* value,
                 std::string* hint) {
  if (!IsScalar(node)) return false;
  if (KindOf(node) != ScalarKind::kText) {
    *hint = "a text; put it in quotes";
    return false;
  }
  *value = node.text;
  if (ranges == Ranges::kTrusted) return true;
  const std::int64_t size = Characters(*value);
  return size >= field.least && size <= field.most && HasForm(*value, field.form);
}

}  // namespace

bool ReadInteger(const Node& node, std::int64_t* value) {
  if (!IsScalar(node) || KindOf(node) != ScalarKind::kInteger) return false;
  if (HasNeedlessZero(node.text)) return false;
  const char* begin = node.text.data() + (node.text.front() == '+' ? 1 : 0);
  const char* end = node.text.data() + node.text.size();
  const auto [stop, error] = std::from_chars(begin, end, *value);
  return error == std::errc() && stop == end;
}

std::int64_t Characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

int ReadChoice(const Field& field, const Node& node) {
  if (!IsScalar(node)) return -1;
  for (std::size_t i = 0; i < field.one_of.size(); ++i) {
    if (field.one_of[i] == node.text) return static_cast<int>(i);
  }
  return -1;
}

bool ReadField(const Field& field, const Node& node, Ranges ranges, TrainingJob& job,
               std::string* hint) {
  auto choose = [&](auto& out) {
    const int index = ReadChoice(field, node);
    if (index >= 0) out = static_cast<std::decay_t<decltype(out)>>(index);
    return index >= 0;
  };
  auto integer = [&](auto& out) {
    std::int64_t value = 0;
    if (!IntegerInRange(field, node, ranges, &value)) return false;
    if (!std::in_range<std::decay_t<decltype(out)>>(value)) return false;
    out = static_cast<std::decay_t<decltype(out)>>(value);
    return true;
  };
  if (field.type == FieldType::kObject) {
    if (node.kind != Node::Kind::kMap) return false;
    std::get<FieldAccess<std::string>>(field.ref)(job) = NodeToJson(node);
    return true;
  }
  return std::visit(
      Overloaded{
          [&](std::monostate) { return ReadChoice(field, node) >= 0; },
          [&](FieldAccess<double> at) { return NumberInRange(field, node, ranges, &at(job)); },
          [&](FieldAccess<bool> at) {
            const bool is = IsScalar(node) && KindOf(node) == ScalarKind::kBoolean;
            if (is) at(job) = node.text == "true";
            return is;
          },
          [&](FieldAccess<std::string> at) {
            return TextInRange(field, node, ranges, &at(job), hint);
          },
          [&](FieldAccess<base::Duration> at) {
            return DurationInRange(field, node, ranges, &at(job));
          },
          [&](FieldAccess<std::optional<base::Duration>> at) {
            base::Duration value{0};
            const bool is = DurationInRange(field, node, ranges, &value);
            if (is) at(job) = value;
            return is;
          },
          [&](FieldAccess<std::optional<std::int64_t>> at) {
            std::int64_t value = 0;
            const bool is = IntegerInRange(field, node, ranges, &value);
            if (is) at(job) = value;
            return is;
          },
          [&](FieldAccess<Builtin> at) { return choose(at(job)); },
          [&](FieldAccess<Reduction> at) { return choose(at(job)); },
          [&](FieldAccess<Transport> at) { return choose(at(job)); },
          [&](FieldAccess<DeviceRequest> at) { return choose(at(job)); },
          [&](FieldAccess<DataFormat> at) { return choose(at(job)); },
          [&](FieldAccess<std::int32_t> at) { return integer(at(job)); },
          [&](FieldAccess<std::int64_t> at) { return integer(at(job)); },
          [&](FieldAccess<std::uint64_t> at) { return integer(at(job)); },
      },
      field.ref);
}

std::string Shown(const Node& node) {
  constexpr std::size_t kMost = 60;
  switch (node.kind) {
    case Node::Kind::kNull:
      return "null";
    case Node::Kind::kMap:
      return "a map";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kScalar:
      break;
  }
  std::string text = node.text;
  if (text.size() > kMost) {
    std::size_t cut = kMost;
    // Not in the middle of a UTF-8 sequence.
    while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
    text = text.substr(0, cut) + "...";
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return node.quoted || text.empty() ? '"' + text + '"' : text;
}

}  // namespace muster::api
