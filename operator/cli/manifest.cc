// Reads at most what a manifest may hold, whatever the file is.
#include "operator/cli/manifest.h"

#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <istream>

#include "operator/api/schema.h"
#include "operator/base/status.h"
#include "operator/cli/yaml_node.h"

namespace muster::cli {
namespace {

Manifest Unreadable(const std::string& file, std::string sentence) {
  Manifest manifest{file, {}};
  manifest.result.errors.push_back({0, 0, "", "", "", std::move(sentence)});
  return manifest;
}

std::string ReadBounded(std::istream& in) {
  std::string text(kMaxManifestBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

}  // namespace

Manifest ReadManifest(const std::string& file, std::istream& in) {
  if (file == "-") return CheckManifest(file, ReadBounded(in));
  struct stat info{};
  if (stat(file.c_str(), &info) != 0) {
    return Unreadable(file, "cannot be read: " + base::ErrnoText(errno));
  }
  if (S_ISDIR(info.st_mode)) return Unreadable(file, "is a directory; name a manifest file");
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return Unreadable(file, "cannot be opened: " + base::ErrnoText(errno));
  return CheckManifest(file, ReadBounded(stream));
}

Manifest CheckManifest(const std::string& file, const std::string& text) {
  const YamlDocument document = ParseYaml(text);
  if (!document.error) return {file, api::Validate(document.root)};
  Manifest manifest{file, {}};
  manifest.result.errors.push_back(*document.error);
  return manifest;
}

std::string FindingLine(const std::string& file, const api::Finding& finding, bool warning) {
  std::string line = file == "-" ? "<stdin>" : file;
  if (finding.line > 0) line += ":" + std::to_string(finding.line);
  line += ": ";
  if (warning) line += "warning: ";
  if (!finding.path.empty()) line += finding.path + ": ";
  return line + finding.sentence;
}

std::vector<std::string> IgnoredOnOneMachine(const api::TrainingJob& job) {
  const api::TrainingJob defaults;
  std::vector<std::string> notes;
  for (const api::Field& field : api::Schema()) {
    if (!field.cluster_only) continue;
    if (api::FieldText(field, job) == api::FieldText(field, defaults)) continue;
    notes.push_back(field.path + " matters on a cluster only: it has no effect here");
  }
  return notes;
}

std::vector<std::string> RefusedOnOneMachine(const api::TrainingJob& job) {
  const api::TrainingJobSpec& spec = job.spec;
  std::vector<std::string> reasons;
  if (spec.workers.spares > 0) {
    reasons.push_back("spec.workers.spares: " + std::to_string(spec.workers.spares) +
                      " is not possible on one machine: 0; a lost worker is replaced by a new "
                      "process at once");
  }
  if (spec.suspend) {
    reasons.push_back(
        "spec.suspend: true is not possible in a run: false; Ctrl-C commits the state and stops, "
        "the same command goes on");
  }
  return reasons;
}

}  // namespace muster::cli
