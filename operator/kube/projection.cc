// Jobs, nodes and leases; and what all projections share.
#include "operator/kube/projection.h"

#include <nlohmann/json.hpp>

#include "operator/api/quantity.h"
#include "operator/api/training_job_json.h"
#include "operator/base/text.h"
#include "operator/kube/labels.h"
#include "operator/kube/projection_parts.h"

namespace muster::kube {

absl::Status ReadTime(const Json& json, std::initializer_list<const char*> path,
                      std::optional<base::WallTime>& out) {
  const std::string text = TextAt(json, path);
  if (text.empty()) return absl::OkStatus();
  auto time = api::ParseTime(text);
  if (!time.ok()) return base::Annotate(time.status(), *(path.end() - 1));
  out = *time;
  return absl::OkStatus();
}

std::string ControllerUid(const Json& object) {
  const Json& owners = At(object, {"metadata", "ownerReferences"});
  if (!owners.is_array()) return "";
  for (const Json& owner : owners) {
    if (BoolAt(owner, {"controller"})) return TextAt(owner, {"uid"});
  }
  return "";
}

std::string Cut(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  constexpr std::string_view kDots = "...";
  std::size_t end = most - kDots.size();
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  text += kDots;
  return text;
}

std::string Shortened(std::string text) { return Cut(std::move(text), kMostMessageBytes); }

absl::StatusOr<JobRecord> ProjectJob(const Json& object) {
  JobRecord record;
  record.deleting = At(object, {"metadata", "deletionTimestamp"}).is_string();
  auto job = api::ParseTrainingJob(Dump(object));
  if (job.ok()) {
    record.job = *std::move(job);
  } else {
    record.unreadable = base::Message(job.status());
  }
  record.job.name = TextAt(object, {"metadata", "name"});
  record.job.ns = TextAt(object, {"metadata", "namespace"});
  record.job.uid = TextAt(object, {"metadata", "uid"});
  if (record.job.name.empty() || record.job.uid.empty()) {
    return base::InvalidArgument("a TrainingJob without metadata.name or metadata.uid");
  }
  return record;
}

absl::StatusOr<NodeRecord> ProjectNode(const Json& object, const std::string& rack_label) {
  NodeRecord node;
  node.name = TextAt(object, {"metadata", "name"});
  node.uid = TextAt(object, {"metadata", "uid"});
  if (node.name.empty()) return base::InvalidArgument("a Node without metadata.name");
  node.deleting = At(object, {"metadata", "deletionTimestamp"}).is_string();
  node.unschedulable = BoolAt(object, {"spec", "unschedulable"});
  const Json& taints = At(object, {"spec", "taints"});
  if (taints.is_array()) {
    for (const Json& taint : taints) {
      node.taints.push_back(
          {TextAt(taint, {"key"}), TextAt(taint, {"value"}), TextAt(taint, {"effect"})});
    }
  }
  const Json& conditions = At(object, {"status", "conditions"});
  if (conditions.is_array()) {
    for (const Json& condition : conditions) {
      node.conditions[TextAt(condition, {"type"})] = TextAt(condition, {"status"});
    }
  }
  if (auto ready = node.conditions.find("Ready"); ready != node.conditions.end()) {
    node.ready = ready->second;
  }
  const Json& labels = At(object, {"metadata", "labels"});
  node.zone = TextAt(labels, {kZoneLabel});
  if (!rack_label.empty()) node.rack = TextAt(labels, {rack_label.c_str()});
  return node;
}

std::string FormatMicroTime(base::WallTime time) {
  const auto micros =
      std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count();
  const std::int64_t part = (micros % 1'000'000 + 1'000'000) % 1'000'000;
  const base::WallTime whole{std::chrono::microseconds(micros - part)};
  std::string text = api::FormatTime(whole);  // ends in Z, and has no fraction
  text.insert(text.size() - 1, "." + base::Padded(part, 6));
  return text;
}

}  // namespace muster::kube
