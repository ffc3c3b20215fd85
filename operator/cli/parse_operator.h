// The options of `muster operator` and of the commands about a job on a cluster.
#pragma once

#include <string>

#include "operator/cli/options.h"

namespace CLI {
class App;
}  // namespace CLI

namespace muster::cli {

// As kubectl names them; for every command that talks to a cluster.
void AddClusterFlags(CLI::App& command, ClusterFlags& flags);
void AddOperator(CLI::App& app, OperatorFlags& flags);
// status, logs, events, suspend, resume, scale.
void AddJobCommands(CLI::App& app, JobFlags& flags, std::string& output);

}  // namespace muster::cli
