// What a person does with a job on a cluster: look at it, read its logs, suspend it, scale it.
#pragma once

#include <iosfwd>

#include "operator/cli/options.h"
#include "operator/kube/client.h"

namespace muster::cli {

// The exit status. `client` is of the cluster, `ns` the namespace of the job.
int RunJobCommand(const JobFlags& flags, const kube::Client& client, const std::string& ns,
                  std::ostream& out, std::ostream& err);

// Finds the cluster first.
int RunJobCommand(const JobFlags& flags, std::ostream& out, std::ostream& err);

}  // namespace muster::cli
