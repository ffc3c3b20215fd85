// `muster operator`: the controller of TrainingJobs on a cluster.
//
// Several may run; the one that holds the Lease leads (leadership.h), the others wait for it. It
// keeps nothing that it could not lose.
#pragma once

#include <string>
#include <vector>

#include "operator/app/authority.h"
#include "operator/kube/apply.h"
#include "operator/kube/changes.h"
#include "operator/kube/config.h"
#include "operator/kube/elector_machine.h"
#include "operator/runtime/log.h"

namespace muster::app {

struct OperatorOptions {
  kube::ClusterConfig cluster;
  std::string ns;                             // its own: the Lease lives there
  std::vector<std::string> watch_namespaces;  // empty: all
  std::string membership_address = "0.0.0.0:7420";
  std::string metrics_host = "0.0.0.0";
  int metrics_port = 8080;
  kube::WorkerPodSettings worker;
  kube::FaultSigns faults;  // nodes that show one are left, as a drained one is
  base::Duration lease_duration = std::chrono::seconds(5);
  base::Duration renew_deadline = std::chrono::seconds(3);
  base::Duration retry_period = std::chrono::seconds(1);
  AuthorityPolicy authority;
  std::string audit_dir;  // empty: no audit
  runtime::LogFormat log_format = runtime::LogFormat::kText;
};

inline constexpr char kLeaseName[] = "muster-operator";

// Until SIGTERM or SIGINT. Returns the exit status: 0 when it was told to stop, 1 when it cannot
// work, with a sentence in the log.
int RunOperator(OperatorOptions options);

}  // namespace muster::app
