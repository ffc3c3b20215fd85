#include "operator/kube/config.h"

#include <fstream>
#include <iterator>
#include <utility>

#include "operator/kube/exec_access.h"
#include "operator/runtime/build_info.h"

namespace muster::kube {
namespace {

// Only what is missing is left out: the namespace is a convenience, not a right.
std::string FirstWord(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

std::string UserAgent() { return "muster/" + std::string(runtime::Version()); }

}  // namespace

absl::StatusOr<ClusterConfig> InClusterConfig(const GetEnv& get, const runtime::Clock& clock,
                                              const std::string& folder) {
  const char* host = get("KUBERNETES_SERVICE_HOST");
  const char* port = get("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || port == nullptr || *host == '\0' || *port == '\0') {
    return base::FailedPrecondition(
        "this is not a pod of a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are "
        "not set");
  }
  ClusterConfig config;
  // The HTTP library cannot connect to an IPv6 address; the Service has a name, too.
  const std::string name = host;
  const bool v6 = name.find(':') != std::string::npos;
  config.server = "https://" + (v6 ? "kubernetes.default.svc" : name) + ":" + port;
  config.ns = FirstWord(folder + "/namespace");
  if (config.ns.empty()) config.ns = "default";
  config.user_agent = UserAgent();
  auto access = MakeFileAccess({}, {folder + "/ca.crt", "", "", folder + "/token"}, clock);
  if (!access.ok()) return base::Annotate(access.status(), "the pod's service account");
  config.access = *std::move(access);
  return config;
}

absl::StatusOr<ClusterConfig> ConfigFromChoice(const KubeconfigChoice& choice,
                                               const runtime::Clock& clock) {
  ClusterConfig config;
  config.server = choice.cluster.server;
  config.ns = choice.ns;
  config.tls_server_name = choice.cluster.tls_server_name;
  config.insecure_skip_tls_verify = choice.cluster.insecure_skip_tls_verify;
  config.user_agent = UserAgent();
  const UserEntry& user = choice.user;
  const Access fixed{choice.cluster.ca_pem, user.certificate_pem, user.key_pem, user.token};
  const AccessFiles files{choice.cluster.ca_file, user.certificate_file, user.key_file,
                          user.token_file};
  auto access = MakeFileAccess(fixed, files, clock);
  if (!access.ok()) {
    return base::Annotate(access.status(), "context '" + choice.context + "' (cluster '" +
                                               choice.cluster_name + "', user '" +
                                               choice.user_name + "')");
  }
  config.access = *std::move(access);
  // As kubectl does: a certificate or a token that stands there goes before the program.
  const bool has_own = !user.certificate_pem.empty() || !user.certificate_file.empty() ||
                       !user.token.empty() || !user.token_file.empty();
  if (!user.exec.command.empty() && !has_own) {
    config.access = MakeExecAccess(
        {user.exec, choice.cluster, choice.user_name, std::move(config.access)}, clock);
  }
  return config;
}

}  // namespace muster::kube
