// `muster run`: a manifest, trained on this machine, shown, and ended with an exit status.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/cli/options.h"

namespace muster::cli {

// Blocks until the job has ended. Call it on the main thread, before any other thread runs: it
// takes SIGINT, SIGTERM and SIGHUP for itself.
int RunRun(const RunOptions& options, std::istream& in, std::ostream& out, std::ostream& err);

// The job as `run` wants it: the manifest's, with --replicas and absolute paths. Errors are
// sentences.
struct Prepared {
  api::TrainingJob job;
  std::vector<std::string> errors;
  std::vector<std::string> notes;
};
Prepared Prepare(const RunOptions& options, api::TrainingJob job,
                 const std::string& working_directory);

}  // namespace muster::cli
