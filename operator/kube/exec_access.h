// Credentials from a program that a kubeconfig names (client.authentication.k8s.io/v1 and v1beta1).
//
// The program gets KUBERNETES_EXEC_INFO, our environment and what the kubeconfig adds, no input,
// and kExecDeadline to print one ExecCredential; longer, or more than kExecMostBytes, and it is
// killed. What it gives is kept until its expirationTimestamp, or until the server refuses it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "operator/kube/access.h"
#include "operator/kube/kubeconfig.h"

namespace muster::kube {

inline constexpr base::Duration kExecDeadline = std::chrono::seconds(60);
inline constexpr std::size_t kExecMostBytes = 1 << 20;

struct ExecCredential {
  std::string token;
  std::string certificate_pem;
  std::string key_pem;
  std::optional<base::WallTime> expires;
  friend bool operator==(const ExecCredential&, const ExecCredential&) = default;
};

// Pure: the program's output as a value. `user` names it in errors.
absl::StatusOr<ExecCredential> ParseExecCredential(std::string_view output, const ExecEntry& exec,
                                                   std::string_view user);
// Pure: the value of KUBERNETES_EXEC_INFO.
std::string ExecInfo(const ExecEntry& exec, const ClusterEntry& cluster, std::string_view ca_pem);

struct ExecOptions {
  ExecEntry exec;
  ClusterEntry cluster;  // for provideClusterInfo
  std::string user;
  std::shared_ptr<AccessSource> rest;  // the cluster's CA; what the program gives is put into it
  base::Duration deadline = kExecDeadline;
};
// `clock` outlives it.
std::unique_ptr<AccessSource> MakeExecAccess(ExecOptions options, const runtime::Clock& clock);

}  // namespace muster::kube
