// Walks the document beside the schema and collects what does not fit.
#include "operator/api/job_validation.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "operator/api/field_reader.h"
#include "operator/api/job_rules.h"
#include "operator/api/json_node.h"
#include "operator/api/label_syntax.h"
#include "operator/api/schema.h"

namespace muster::api {
namespace {

std::string Join(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : path + "." + std::string(key);
}

class Walk {
 public:
  Walk(ValidationResult& result, Ranges ranges) : result_(result), ranges_(ranges) {}

  void Group(const Node& node, const std::string& path) {
    std::set<std::string_view> seen;
    for (const NodeEntry& entry : node.entries) {
      const std::string child = Join(path, entry.key);
      if (!seen.insert(entry.key).second) {
        Add(entry, child, Shown(entry.value), "each field once", "is given twice");
        continue;
      }
      Entry(entry, path, child);
    }
    if (ranges_ == Ranges::kTrusted) return;
    for (const Field* field : ChildrenOf(path)) {
      if (field->required && !present_.contains(field->path)) Missing(*field, node);
    }
  }

  const Places& places() const { return places_; }
  const Places& broken() const { return broken_; }
  bool max_replicas_given() const { return present_.contains("spec.workers.maxReplicas"); }

 private:
  void Add(const NodeEntry& at, const std::string& path, std::string value, std::string allowed,
           std::string sentence) {
    result_.errors.push_back(
        {at.line, at.column, path, std::move(value), std::move(allowed), std::move(sentence)});
    broken_[path] = {at.line, at.column};
  }

  void NotAllowed(const NodeEntry& at, const std::string& path, const Node& value,
                  const std::string& allowed) {
    Add(at, path, Shown(value), allowed, Shown(value) + " is not allowed: " + allowed);
  }

  void Missing(const Field& field, const Node& group) {
    const std::string allowed = AllowedText(field);
    result_.errors.push_back({std::max(group.line, 1), std::max(group.column, 1), field.path, "",
                              allowed, "is missing: " + allowed});
    broken_[field.path] = {group.line, group.column};
  }

  void Entry(const NodeEntry& entry, const std::string& path, const std::string& child) {
    const Field* field = FindField(child);
    if (field == nullptr) {
      if (path.empty() && entry.key == "status") return Status(entry);
      return Unknown(entry, path, child);
    }
    const Node& value = entry.value;
    // As an API server does: null stands for "not set", and for nothing else.
    if (value.kind == Node::Kind::kNull) {
      if (field->type == FieldType::kGroup) {
        present_.insert(child);
        places_[child] = {entry.line, entry.column};
        Node empty;
        empty.line = entry.line;
        empty.column = entry.column;
        Group(empty, child);
      }
      return;
    }
    present_.insert(child);
    places_[child] = {entry.line, entry.column};
    Read(entry, *field);
  }

  void Read(const NodeEntry& entry, const Field& field) {
    const Node& value = entry.value;
    switch (field.type) {
      case FieldType::kIgnored:
        return;
      case FieldType::kGroup:
        if (value.kind == Node::Kind::kMap) return Group(value, field.path);
        return NotAllowed(entry, field.path, value, AllowedText(field));
      case FieldType::kStringMap:
        return StringMap(entry, field);
      case FieldType::kRules:
        return FailureRules(entry, field);
      default:
        break;
    }
    std::string hint;
    if (ReadField(field, value, ranges_, result_.job, &hint)) return;
    NotAllowed(entry, field.path, value, hint.empty() ? AllowedText(field) : hint);
  }

  void StringMap(const NodeEntry& entry, const Field& field) {
    if (entry.value.kind != Node::Kind::kMap) {
      return NotAllowed(entry, field.path, entry.value, AllowedText(field));
    }
    const bool labels = field.path == "metadata.labels";
    for (const NodeEntry& item : entry.value.entries) {
      const std::string path = Join(field.path, item.key);
      if (item.value.kind == Node::Kind::kNull) continue;  // an API server makes it empty
      const bool text =
          item.value.kind == Node::Kind::kScalar && KindOf(item.value) == ScalarKind::kText;
      if (!text) {
        NotAllowed(item, path, item.value, "a text; put it in quotes");
      } else if (!(labels ? IsLabelKey(item.key) : IsAnnotationKey(item.key))) {
        Add(item, path, item.key, std::string(kKeyAllowed),
            "the key " + item.key + " is not allowed: " + std::string(kKeyAllowed));
      } else if (labels && !IsLabelValue(item.value.text)) {
        NotAllowed(item, path, item.value, std::string(kLabelValueAllowed));
      }
    }
  }

  void FailureRules(const NodeEntry& entry, const Field& field) {
    const Node& list = entry.value;
    if (list.kind != Node::Kind::kList ||
        static_cast<std::int64_t>(list.items.size()) > field.most) {
      return NotAllowed(entry, field.path, list, AllowedText(field));
    }
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      const Node& item = list.items[i];
      const std::string path = field.path + "[" + std::to_string(i) + "]";
      if (item.kind != Node::Kind::kMap) {
        const NodeEntry at{"", item.line, item.column, {}};
        NotAllowed(at, path, item, "a rule with an action, such as {action: FailJob}");
        continue;
      }
      result_.job.spec.failure_policy.rules.push_back(Rule(item, path));
    }
  }

  FailureRule Rule(const Node& item, const std::string& path) {
    FailureRule rule;
    bool has_action = false;
    std::set<std::string_view> seen;
    for (const NodeEntry& part : item.entries) {
      const std::string child = Join(path, part.key);
      const Field* field = FindField("spec.failurePolicy.rules[]." + part.key);
      if (!seen.insert(part.key).second) {
        Add(part, child, Shown(part.value), "each field once", "is given twice");
      } else if (field == nullptr) {
        Unknown(part, "spec.failurePolicy.rules[]", child);
      } else if (part.value.kind == Node::Kind::kNull) {
        continue;  // not set, as everywhere
      } else if (part.key == "action") {
        has_action = true;
        const int index = ReadChoice(*field, part.value);
        if (index < 0) NotAllowed(part, child, part.value, AllowedText(*field));
        rule.action = static_cast<FailureAction>(std::max(index, 0));
      } else if (part.key == "exitCodes") {
        ExitCodes(part, *field, child, rule);
      } else {
        const bool text = part.value.kind == Node::Kind::kScalar &&
                          KindOf(part.value) == ScalarKind::kText &&
                          Characters(part.value.text) <= field->most;
        if (!text) NotAllowed(part, child, part.value, AllowedText(*field));
        rule.pod_condition = part.value.text;
      }
    }
    if (!has_action) {
      const Field& action = *FindField("spec.failurePolicy.rules[].action");
      result_.errors.push_back({item.line, item.column, path + ".action", "", AllowedText(action),
                                "is missing: " + AllowedText(action)});
    }
    return rule;
  }

  void ExitCodes(const NodeEntry& part, const Field& field, const std::string& child,
                 FailureRule& rule) {
    if (part.value.kind != Node::Kind::kList || part.value.items.size() > 256) {
      return NotAllowed(part, child, part.value, AllowedText(field));
    }
    for (const Node& item : part.value.items) {
      std::int64_t code = 0;
      if (!ReadInteger(item, &code) || code < field.least || code > field.most) {
        const NodeEntry at{"", item.line, item.column, {}};
        NotAllowed(
            at, child, item,
            "an integer from " + std::to_string(field.least) + " to " + std::to_string(field.most));
        continue;
      }
      rule.exit_codes.push_back(static_cast<std::int32_t>(code));
    }
  }

  void Status(const NodeEntry& entry) {
    result_.warnings.push_back(
        {entry.line, entry.column, "status", "", "",
         "is written by the operator; what a manifest says there is ignored"});
  }

  void Unknown(const NodeEntry& entry, const std::string& path, const std::string& child) {
    std::vector<std::string_view> siblings;
    for (const Field* field : ChildrenOf(path)) {
      if (field->type != FieldType::kIgnored) siblings.push_back(LeafName(field->path));
    }
    std::string near = Nearest(entry.key, siblings);
    if (near.empty()) {
      for (const Field& field : Schema()) {
        if (LeafName(field.path) == entry.key && field.type != FieldType::kIgnored) {
          near = field.path;
          break;
        }
      }
    }
    std::string known;
    for (std::string_view name : siblings) known += (known.empty() ? "" : ", ") + std::string(name);
    std::string sentence = "unknown field " + child;
    sentence += near.empty() ? "; known here: " + known : "; did you mean " + near + "?";
    Add(entry, child, "", known, std::move(sentence));
  }

  ValidationResult& result_;
  const Ranges ranges_;
  Places places_;
  Places broken_;
  std::set<std::string, std::less<>> present_;
};

void InOrderOfTheDocument(std::vector<Finding>& findings) {
  std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
}

}  // namespace

ValidationResult Validate(const Node& root) {
  ValidationResult result;
  if (root.kind != Node::Kind::kMap) {
    const std::string allowed = "a map that begins with apiVersion: muster.dev/v1alpha1";
    result.errors.push_back({std::max(root.line, 1), std::max(root.column, 1), "", Shown(root),
                             allowed, Shown(root) + " is not a TrainingJob: " + allowed});
    return result;
  }
  Walk walk(result, Ranges::kChecked);
  walk.Group(root, "");
  WorkersSpec& workers = result.job.spec.workers;
  if (!walk.max_replicas_given()) workers.max_replicas = workers.replicas;
  CheckRules(walk.places(), walk.broken(), result);
  InOrderOfTheDocument(result.errors);
  InOrderOfTheDocument(result.warnings);
  return result;
}

absl::StatusOr<TrainingJob> ReadTrusted(const Node& node, const std::string& path) {
  if (node.kind != Node::Kind::kMap) {
    return base::InvalidArgument((path.empty() ? "the job" : path) + ": " + Shown(node) +
                                 " is not allowed: a map of fields");
  }
  ValidationResult result;
  Walk walk(result, Ranges::kTrusted);
  walk.Group(node, path);
  WorkersSpec& workers = result.job.spec.workers;
  if (!walk.max_replicas_given()) workers.max_replicas = workers.replicas;
  if (result.errors.empty()) return result.job;
  std::string all;
  for (const Finding& finding : result.errors) {
    all += (all.empty() ? "" : "; ") + finding.path + ": " + finding.sentence;
  }
  return base::InvalidArgument(all);
}

}  // namespace muster::api
