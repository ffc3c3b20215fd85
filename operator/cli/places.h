// Where a run keeps its files, and the command that goes on with it. Pure: the environment comes
// in.
#pragma once

#include <string>

#include "operator/base/status.h"
#include "operator/cli/options.h"

namespace muster::cli {

struct Environment {
  std::string xdg_state_home;  // empty: not set
  std::string home;
  std::string working_directory;  // absolute
};

// `path`, inside the working directory unless it is absolute.
std::string Absolute(const std::string& path, const Environment& environment);

// --state-dir, or the user's state folder by job name.
absl::StatusOr<std::string> StateDir(const RunOptions& options, const std::string& job_name,
                                     const Environment& environment);

// The same command without the faults, which have fired: quoted for a shell.
std::string ResumeCommand(const RunOptions& options);

}  // namespace muster::cli
