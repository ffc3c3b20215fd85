// Which API server, and with what right: in a cluster from the pod's mounts, outside from a
// kubeconfig.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "operator/kube/access.h"
#include "operator/kube/kubeconfig.h"

namespace muster::kube {

struct ClusterConfig {
  std::string server;           // "https://10.0.0.1:6443", with a path if the server lies below one
  std::string ns;               // what a command without --namespace is about
  std::string tls_server_name;  // whose certificate is expected; empty: the server's own host
  bool insecure_skip_tls_verify = false;
  std::string user_agent = "muster";
  std::shared_ptr<AccessSource> access;
};

// The value of an environment variable; null: not set.
using GetEnv = std::function<const char*(const char*)>;

inline constexpr char kServiceAccountFolder[] = "/var/run/secrets/kubernetes.io/serviceaccount";

// FailedPrecondition when this is no pod (KUBERNETES_SERVICE_HOST is not set). `clock` outlives it.
absl::StatusOr<ClusterConfig> InClusterConfig(const GetEnv& get, const runtime::Clock& clock,
                                              const std::string& folder = kServiceAccountFolder);

// `clock` outlives it. Errors name the context, the cluster or the user.
absl::StatusOr<ClusterConfig> ConfigFromChoice(const KubeconfigChoice& choice,
                                               const runtime::Clock& clock);

}  // namespace muster::kube
