// What operator/api makes of manifests, as JSON: tests/crd compares it with an API server's view.
//
//   crd_probe manifests FILE...   errors by field, the spec as it is read, its hashes
//   crd_probe full                a job in which every field of spec and status is set
//   crd_probe fields              the table of the manifest's fields
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "operator/api/frozen_hash.h"
#include "operator/api/schema.h"
#include "operator/api/training_job_json.h"
#include "operator/cli/manifest.h"
#include "tests/operator/api/full_job.h"

namespace muster {
namespace {

using Json = nlohmann::ordered_json;

Json ManifestJson(const std::string& file) {
  const cli::Manifest manifest = cli::ReadManifest(file, std::cin);
  Json out = {{"file", file}, {"errors", Json::array()}};
  for (const api::Finding& finding : manifest.result.errors) {
    out["errors"].push_back({{"field", finding.path}, {"message", finding.sentence}});
  }
  if (!manifest.result.ok()) return out;
  const api::TrainingJobSpec& spec = manifest.result.job.spec;
  out["spec"] = Json::parse(api::SpecToJson(spec));
  out["frozen"] = api::FrozenHash(spec);
  out["template"] = api::TemplateHash(spec);
  return out;
}

Json FieldJson(const api::Field& field) {
  static constexpr const char* kChanges[] = {"always", "untilStart", "whileSuspended", "never"};
  return {{"path", field.path},
          {"ignored", field.type == api::FieldType::kIgnored},
          {"group", field.type == api::FieldType::kGroup},
          {"integer", field.type == api::FieldType::kInteger},
          {"number", field.type == api::FieldType::kNumber},
          {"boolean", field.type == api::FieldType::kBoolean},
          {"required", field.required},
          {"nullable", field.nullable},
          {"ofProgram", field.builtin.has_value()},
          {"least", field.type == api::FieldType::kNumber ? Json(field.low) : Json(field.least)},
          {"most", field.type == api::FieldType::kNumber ? Json(field.high) : Json(field.most)},
          {"oneOf", field.one_of},
          {"default", field.default_text},
          {"change", kChanges[static_cast<int>(field.change)]}};
}

int Main(const std::vector<std::string>& args) {
  const std::string verb = args.empty() ? "" : args.front();
  Json out = Json::array();
  if (verb == "manifests") {
    for (std::size_t i = 1; i < args.size(); ++i) out.push_back(ManifestJson(args[i]));
  } else if (verb == "full") {
    api::TrainingJob job;
    job.name = "full";
    job.spec = api::FullSpec();
    job.status = api::FullStatus();
    out = Json::parse(api::TrainingJobToJson(job));
  } else if (verb == "fields") {
    for (const api::Field& field : api::Schema()) out.push_back(FieldJson(field));
  } else {
    std::cerr << "usage: crd_probe manifests FILE... | full | fields\n";
    return 2;
  }
  std::cout << out.dump(1) << "\n";
  return 0;
}

}  // namespace
}  // namespace muster

int main(int argc, char** argv) {
  return muster::Main(std::vector<std::string>(argv + 1, argv + argc));
}
