#include "operator/cli/operator.h"

#include <charconv>
#include <cstdlib>
#include <ostream>

#include "operator/app/operator.h"
#include "operator/cli/cluster_access.h"

namespace muster::cli {
namespace {

base::Duration FromSeconds(double seconds) {
  return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(seconds));
}

absl::StatusOr<app::OperatorOptions> MakeOptions(const OperatorFlags& flags,
                                                 const runtime::Clock& clock) {
  app::OperatorOptions options;
  const auto get = [](const char* name) -> const char* { return std::getenv(name); };
  MUSTER_ASSIGN_OR_RETURN(options.cluster, FindCluster(flags.cluster, get, ReadFileText, clock));
  options.ns = options.cluster.ns;
  options.watch_namespaces = flags.watch_namespaces;
  MUSTER_ASSIGN_OR_RETURN(const HostPort metrics,
                          ParseHostPort("--metrics-address", flags.metrics_address));
  options.metrics_host = metrics.host;
  options.metrics_port = metrics.port;
  MUSTER_ASSIGN_OR_RETURN(const HostPort membership,
                          ParseHostPort("--membership-address", flags.membership_address));
  options.membership_address = flags.membership_address;
  options.worker.image = flags.worker_image;
  options.worker.coordinators = flags.advertise;
  for (const std::string& address : flags.advertise) {
    MUSTER_RETURN_IF_ERROR(ParseHostPort("--advertise", address).status());
  }
  if (options.worker.coordinators.empty()) {
    options.worker.coordinators = {"muster-membership." + options.ns +
                                   ".svc:" + std::to_string(membership.port)};
  }
  options.faults.taints = flags.fault_taints;
  for (const std::string& text : flags.fault_conditions) {
    auto condition = kube::ParseFaultCondition(text);
    if (!condition.ok()) return base::Annotate(condition.status(), "--hardware-fault-conditions");
    options.faults.conditions.push_back(*std::move(condition));
  }
  options.lease_duration = FromSeconds(flags.lease_seconds);
  options.renew_deadline = FromSeconds(flags.renew_seconds);
  options.retry_period = FromSeconds(flags.retry_seconds);
  options.audit_dir = flags.audit_dir;
  MUSTER_ASSIGN_OR_RETURN(options.log_format, runtime::ParseLogFormat(flags.log_format));
  return options;
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(std::string_view flag, const std::string& text) {
  const std::size_t colon = text.rfind(':');
  HostPort out;
  if (colon != std::string::npos) {
    out.host = text.substr(0, colon);
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data() + colon + 1, end, out.port);
    const bool whole = read.ec == std::errc() && read.ptr == end;
    if (whole && !out.host.empty() && out.port >= 0 && out.port <= 65535) return out;
  }
  return base::InvalidArgument(std::string(flag) + ": " + text +
                               " is not allowed: HOST:PORT with a port from 0 to 65535");
}

int RunOperatorCommand(const OperatorFlags& flags, std::ostream& err) {
  static const runtime::RealClock clock;  // outlives what reads credentials by it
  auto options = MakeOptions(flags, clock);
  if (!options.ok()) {
    err << "muster operator: " << base::Message(options.status()) << "\n";
    return options.status().code() == absl::StatusCode::kInvalidArgument ? kExitUsage : kExitFailed;
  }
  return app::RunOperator(*std::move(options));
}

}  // namespace muster::cli
