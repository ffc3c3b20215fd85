// CEL knows no variables, so a rule spells its terms out; a helper per term keeps them readable.
//
// Each guards against values that the OpenAPI bounds refuse already: those errors do not keep CEL
// from running, and a division by zero would be a second and unreadable sentence. Messages take
// their numbers by format(): for string(n) the API server assumes an endless text and refuses.
#include "operator/api/crd_rules.h"

#include <utility>

#include "operator/api/quantity.h"

namespace muster::api {
namespace {

constexpr std::string_view kConfig = "spec.program.config.";

// A text as CEL writes it.
std::string Quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// A default as CEL writes a constant of the field's type.
std::string Constant(const Field& field) {
  std::string text = field.default_text;
  if (field.type == FieldType::kEnum || field.type == FieldType::kText) return Quoted(text);
  const bool whole = text.find_first_of(".e") == std::string::npos;
  return field.type == FieldType::kNumber && whole ? text + ".0" : text;
}

// The value of an optional field without a default in the schema, or what stands for it.
std::string OrElse(const std::string& at, const std::string& otherwise) {
  return "(has(" + at + ") ? " + at + " : " + otherwise + ")";
}

std::string OrDefault(const std::string& root, const Field& field) {
  return OrElse(root + field.path, Constant(field));
}

std::string ConfigOf(const char* name) {
  const Field& field = *FindField(std::string(kConfig) + name);
  return OrElse("self.config." + std::string(name), Constant(field));
}

// The sentence of `muster validate`: "5 is not allowed: at most replicas, which is 4". `values` are
// what stands for the sentence's %d and %s, the refused one first.
std::string Sentence(const char* value, const std::string& allowed, const std::string& values) {
  return Quoted(std::string(value) + " is not allowed: " + allowed) + ".format([" + values + "])";
}

CelRule Workers(std::string rule, const std::string& field, const char* bound) {
  const std::string text = std::string(bound) + " replicas";
  return {"spec.workers",
          std::move(rule),
          "must be " + text,
          Sentence("%d", text + ", which is %d", "self." + field + ", self.replicas"),
          field,
          ""};
}

void AddReplicas(std::vector<CelRule>& rules) {
  rules.push_back(Workers("self.minReplicas <= self.replicas", "minReplicas", "at most"));
  rules.push_back(Workers("!has(self.maxReplicas) || self.maxReplicas >= self.replicas",
                          "maxReplicas", "at least"));
}

std::string KnownTo(Builtin builtin) {
  std::string known;
  for (const Field& field : Schema()) {
    if (field.builtin != builtin) continue;
    known += (known.empty() ? "" : ", ") + std::string(LeafName(field.path));
  }
  return known;
}

void AddProgram(std::vector<CelRule>& rules) {
  const std::vector<std::string_view>& names = FindField("spec.program.builtin")->one_of;
  for (const Field& field : Schema()) {
    if (!field.builtin) continue;
    const std::string leaf(LeafName(field.path));
    const std::string owner(names.at(static_cast<std::size_t>(*field.builtin)));
    const Builtin other = *field.builtin == Builtin::kGpt ? Builtin::kBench : Builtin::kGpt;
    const std::string others(names.at(static_cast<std::size_t>(other)));
    rules.push_back({"spec.program",
                     "self.builtin == '" + owner + "' || !has(self.config." + leaf + ")",
                     "does not belong to program " + others + ", which knows " + KnownTo(other), "",
                     "config." + leaf, "FieldValueForbidden"});
  }
  rules.push_back(
      {"spec.program", "self.builtin == 'gpt' || self.weights.path == ''",
       "does not belong to program bench: program gpt alone can start from weights that "
       "others have saved",
       "", "weights.path", "FieldValueForbidden"});
  const std::string width = ConfigOf("width");
  const std::string heads = ConfigOf("heads");
  rules.push_back(
      {"spec.program",
       "self.builtin != 'gpt' || " + heads + " < 1 || " + width + " % " + heads + " == 0",
       "must be a multiple of heads",
       Sentence("%d", "a multiple of heads, which is %d", width + ", " + heads), "config.width",
       ""});
  const std::string device = ConfigOf("device");
  const std::string recompute = ConfigOf("recompute");
  rules.push_back(
      {"spec.program",
       "self.builtin != 'gpt' || " + device + " == 'cuda' || " + recompute + " == 0",
       "must be 0 unless device is cuda",
       Sentence("%d", "0 where device is %s; with device cuda 0 to 2", recompute + ", " + device),
       "config.recompute", ""});
  const std::string table = ConfigOf("matmulTable");
  rules.push_back(
      {"spec.program", "self.builtin != 'gpt' || " + device + " == 'cuda' || " + table + " == ''",
       "must be empty unless device is cuda",
       Sentence("%s", "empty where device is %s; with device cuda a file", table + ", " + device),
       "config.matmulTable", ""});
}

void AddSpec(std::vector<CelRule>& rules) {
  const std::string members = OrElse("self.workers.maxReplicas", "self.workers.replicas") +
                              " * self.workers.processesPerWorker";
  const std::string why = "(maxReplicas x processesPerWorker), so that every member has one";
  rules.push_back({"spec", "self.training.slots >= " + members,
                   "must be at least the number of members " + why,
                   Sentence("%d", "at least %d " + why, "self.training.slots, " + members),
                   "training.slots", ""});
  const std::string bytes = "256 with data.format text, where each byte is a token";
  rules.push_back({"spec",
                   "self.program.builtin != 'gpt' || self.data.format != 'text' || "
                   "!has(self.program.config.vocabulary) || self.program.config.vocabulary == 256",
                   "must be " + bytes, Sentence("%d", bytes, "self.program.config.vocabulary"),
                   "program.config.vocabulary", ""});
  rules.push_back({"spec", "self.program.builtin != 'gpt' || self.data.path != ''",
                   "is missing, and program gpt needs it: a file or a directory to train on", "",
                   "data.path", "FieldValueRequired"});
}

// What an update may not change. Most of it is fixed by a start, which only the root can see.
void AddUpdates(std::vector<CelRule>& rules) {
  const std::string open = "!has(oldSelf.status) || !has(oldSelf.status.startTime) || ";
  for (const Field& field : Schema()) {
    if (!field.path.starts_with("spec.")) continue;  // who it is, the API server itself keeps
    std::string now = field.builtin ? OrDefault("self.", field) : "self." + field.path;
    std::string before = field.builtin ? OrDefault("oldSelf.", field) : "oldSelf." + field.path;
    const std::string same = now + " == " + before;
    switch (field.change) {
      case Change::kAnyTime:
        break;
      case Change::kNever:
        rules.push_back({"", same, "may not change", "", field.path, "FieldValueForbidden"});
        break;
      case Change::kUntilStart:
        rules.push_back({"", open + same,
                         "may not change once the job has started; make a new job instead", "",
                         field.path, "FieldValueForbidden"});
        break;
      case Change::kWhileSuspended:
        rules.push_back({"", open + "oldSelf.spec.suspend || " + same,
                         "may change only while the job is suspended: set spec.suspend to true "
                         "first",
                         "", field.path, "FieldValueForbidden"});
        break;
    }
  }
}

void AddStatus(std::vector<CelRule>& rules) {
  rules.push_back({"status",
                   "!has(oldSelf.state) || !(oldSelf.state in ['Succeeded', 'Failed']) || "
                   "(has(self.state) && self.state == oldSelf.state)",
                   "may not change: Succeeded and Failed are final", "", "state",
                   "FieldValueForbidden"});
  rules.push_back({"status",
                   "!has(oldSelf.startTime) || "
                   "(has(self.startTime) && self.startTime == oldSelf.startTime)",
                   "may not change: what it fixed stays fixed", "", "startTime",
                   "FieldValueForbidden"});
}

std::vector<CelRule> MakeRules() {
  std::vector<CelRule> rules;
  const Field& name = *FindField("metadata.name");
  rules.push_back({"", "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                   "must be " + AllowedText(name),
                   Sentence("%s", AllowedText(name), "self.metadata.name"), "metadata.name", ""});
  AddUpdates(rules);
  AddSpec(rules);
  AddReplicas(rules);
  AddProgram(rules);
  AddStatus(rules);
  return rules;
}

}  // namespace

const std::vector<CelRule>& CelRules() {
  static const std::vector<CelRule> rules = MakeRules();
  return rules;
}

CelRule DurationRule(const Field& field) {
  const auto limit = [](std::int64_t ns) {
    return "duration('" + FormatDuration(base::Duration(ns)) + "')";
  };
  // What ParseDuration reads. More than 64 bits of nanoseconds stop CEL's own conversion.
  const std::string spelling =
      "self.matches('^(0|([0-9]+([.][0-9]+)?(h|m|s|ms|us|\u00b5s|ns))+)$')";
  return {field.path,
          spelling + " && duration(self) >= " + limit(field.least) +
              " && duration(self) <= " + limit(field.most),
          "must be " + AllowedText(field),
          Sentence("%s", AllowedText(field), "self"),
          "",
          ""};
}

}  // namespace muster::api
