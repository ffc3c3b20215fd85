// Text goes where errors go; JSON is the answer and goes to standard output.
#include "operator/cli/validate.h"

#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "operator/cli/explain.h"
#include "operator/cli/manifest.h"

namespace muster::cli {
namespace {

using Json = nlohmann::ordered_json;

Json FindingsJson(const std::vector<api::Finding>& findings) {
  Json out = Json::array();
  for (const api::Finding& finding : findings) {
    out.push_back({{"line", finding.line},
                   {"column", finding.column},
                   {"field", finding.path},
                   {"value", finding.value},
                   {"allowed", finding.allowed},
                   {"message", finding.sentence}});
  }
  return out;
}

Json ManifestJson(const Manifest& manifest) {
  return {{"file", manifest.file},
          {"valid", manifest.result.ok()},
          {"errors", FindingsJson(manifest.result.errors)},
          {"warnings", FindingsJson(manifest.result.warnings)}};
}

void Tell(const Manifest& manifest, std::ostream& out, std::ostream& err) {
  for (const api::Finding& finding : manifest.result.errors) {
    err << FindingLine(manifest.file, finding, false) << "\n";
  }
  for (const api::Finding& finding : manifest.result.warnings) {
    err << FindingLine(manifest.file, finding, true) << "\n";
  }
  if (!manifest.result.ok()) return;
  out << (manifest.file == "-" ? "<stdin>" : manifest.file) << ": valid";
  const std::size_t warnings = manifest.result.warnings.size();
  if (warnings > 0) out << ", " << warnings << (warnings == 1 ? " warning" : " warnings");
  out << "\n";
}

}  // namespace

int RunValidate(const ValidateOptions& options, std::istream& in, std::ostream& out,
                std::ostream& err) {
  if (options.schema) out << SchemaTable();
  bool valid = true;
  Json all = Json::array();
  for (const std::string& file : options.files) {
    const Manifest manifest = ReadManifest(file, in);
    valid = valid && manifest.result.ok();
    if (options.output == Output::kJson) {
      all.push_back(ManifestJson(manifest));
    } else {
      Tell(manifest, out, err);
    }
  }
  if (options.output == Output::kJson && !options.schema) {
    out << all.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  }
  return valid ? kExitSucceeded : kExitUsage;
}

}  // namespace muster::cli
