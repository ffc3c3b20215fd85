#include "operator/api/worker_gpus.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace muster::api {
namespace {

using TemplateJson = nlohmann::json;

constexpr char kWorkerContainer[] = "worker";

const TemplateJson* FieldOf(const TemplateJson* parent, const char* key) {
  if (parent == nullptr || !parent->is_object()) return nullptr;
  const auto at = parent->find(key);
  return at == parent->end() || at->is_null() ? nullptr : &*at;
}

const TemplateJson* WorkerContainer(const TemplateJson& pod_template) {
  const TemplateJson* containers = FieldOf(FieldOf(&pod_template, "spec"), "containers");
  if (containers == nullptr || !containers->is_array() || containers->empty()) return nullptr;
  for (const TemplateJson& container : *containers) {
    const TemplateJson* name = FieldOf(&container, "name");
    if (name != nullptr && *name == kWorkerContainer) return &container;
  }
  return &containers->front();
}

std::optional<std::int64_t> WholeNumber(const TemplateJson& value) {
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  std::int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  if (read.ec != std::errc() || read.ptr != end || number < 0) return std::nullopt;
  return number;
}

}  // namespace

absl::StatusOr<std::int64_t> WorkerGpus(const WorkersSpec& workers) {
  const TemplateJson pod_template = TemplateJson::parse(workers.template_json, nullptr, false);
  const TemplateJson* resources = FieldOf(WorkerContainer(pod_template), "resources");
  for (const char* list : {"limits", "requests"}) {
    const TemplateJson* value = FieldOf(FieldOf(resources, list), kGpuResource);
    if (value == nullptr) continue;
    if (const auto number = WholeNumber(*value)) return *number;
    return base::InvalidArgument(
        "spec.workers.template.spec.containers[].resources." + std::string(list) + "[" +
        kGpuResource + "] is " +
        value->dump(-1, ' ', false, TemplateJson::error_handler_t::replace) +
        "; a number of whole GPUs in plain digits is allowed");
  }
  return 0;
}

}  // namespace muster::api
