// Reads the table of fields; which of them are fixed is said there.
#include "operator/api/frozen_hash.h"

#include <map>
#include <nlohmann/json.hpp>

#include "operator/api/schema.h"
#include "operator/base/sha256.h"

namespace muster::api {

std::string FrozenHash(const TrainingJobSpec& spec) {
  TrainingJob job;
  job.spec = spec;
  std::map<std::string, std::string> fixed;  // by path: the order of the table does not matter
  for (const Field& field : Schema()) {
    if (!field.path.starts_with("spec.")) continue;
    if (field.change != Change::kUntilStart && field.change != Change::kNever) continue;
    if (field.builtin && *field.builtin != spec.program.builtin) continue;
    const std::string text = FieldText(field, job);
    if (field.required || text != field.default_text) fixed[field.path] = text;
  }
  return base::Sha256Hex(
      nlohmann::json(fixed).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

std::string TemplateHash(const TrainingJobSpec& spec) {
  // This type sorts its keys.
  const nlohmann::json parsed = nlohmann::json::parse(spec.workers.template_json, nullptr, false);
  return base::Sha256Hex(parsed.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace muster::api
