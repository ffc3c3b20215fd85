// Which cluster a command is about, as kubectl would choose it.
#pragma once

#include <functional>
#include <string>

#include "operator/base/status.h"
#include "operator/cli/options.h"
#include "operator/kube/config.h"

namespace muster::cli {

// Reads a whole file; not OK: says why.
using ReadText = std::function<absl::StatusOr<std::string>(const std::string& path)>;
absl::StatusOr<std::string> ReadFileText(const std::string& path);

// --kubeconfig, else KUBECONFIG's files, else ~/.kube/config; where none of them exists and this is
// a pod, its service account. Errors name the file, the context, the cluster or the user. `clock`
// outlives what it gives.
absl::StatusOr<kube::ClusterConfig> FindCluster(const ClusterFlags& flags, const kube::GetEnv& get,
                                                const ReadText& read, const runtime::Clock& clock);

}  // namespace muster::cli
