// The XDG base directory rules: an unset or relative XDG_STATE_HOME means ~/.local/state.
#include "operator/cli/places.h"

namespace muster::cli {
namespace {

std::string Quoted(const std::string& word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:@+,";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

std::string Absolute(const std::string& path, const Environment& environment) {
  if (path.starts_with("/")) return path;
  return environment.working_directory + "/" + path;
}

absl::StatusOr<std::string> StateDir(const RunOptions& options, const std::string& job_name,
                                     const Environment& environment) {
  if (!options.state_dir.empty()) return Absolute(options.state_dir, environment);
  if (environment.xdg_state_home.starts_with("/")) {
    return environment.xdg_state_home + "/muster/" + job_name;
  }
  if (environment.home.starts_with("/")) {
    return environment.home + "/.local/state/muster/" + job_name;
  }
  return base::FailedPrecondition(
      "where shall the state live? HOME is not set; name a directory with --state-dir");
}

std::string ResumeCommand(const RunOptions& options) {
  std::string out = "muster run " + Quoted(options.file);
  if (options.replicas > 0) out += " --replicas " + std::to_string(options.replicas);
  if (options.nodes > 1) out += " --nodes " + std::to_string(options.nodes);
  if (!options.audit_file.empty()) out += " --audit " + Quoted(options.audit_file);
  if (!options.state_dir.empty()) out += " --state-dir " + Quoted(options.state_dir);
  if (options.output == Output::kJson) out += " --output json";
  if (options.quiet) out += " --quiet";
  if (options.metrics_port >= 0) out += " --metrics-port " + std::to_string(options.metrics_port);
  if (options.log_format != "text") out += " --log-format " + options.log_format;
  return out;
}

}  // namespace muster::cli
