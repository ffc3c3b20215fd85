#include "operator/cli/parse_operator.h"

#include <CLI/CLI.hpp>

#include "operator/api/quantity.h"

namespace muster::cli {
namespace {

constexpr char kFooter[] = R"(
It runs as a Deployment (docs/install.md); outside a cluster it needs a kubeconfig and an address
that worker pods can reach:
  muster operator --kubeconfig admin.conf --namespace muster-system --advertise 10.0.0.1:7420 \
      --worker-image muster/worker:latest

Exit status: 0 told to stop (SIGTERM), 1 it cannot work, 2 wrong usage.)";

// A duration such as 5s or 500ms, as seconds.
CLI::Validator Seconds() {
  return CLI::Validator(
      [](std::string& text) {
        const auto parsed = api::ParseDuration(text);
        if (!parsed.ok()) return base::Message(parsed.status());
        text = std::to_string(base::ToSeconds(*parsed));
        return std::string();
      },
      "DURATION");
}

}  // namespace

void AddClusterFlags(CLI::App& command, ClusterFlags& flags) {
  command
      .add_option("--kubeconfig", flags.kubeconfig,
                  "Instead of KUBECONFIG, ~/.kube/config or the pod's service account")
      ->type_name("FILE");
  command.add_option("--context", flags.context, "Of the kubeconfig, instead of its current one")
      ->type_name("NAME");
  command.add_option("-n,--namespace", flags.ns, "Instead of the context's")->type_name("NAME");
}

void AddOperator(CLI::App& app, OperatorFlags& flags) {
  CLI::App* command = app.add_subcommand("operator", "Run the controller of TrainingJobs.");
  command->footer(kFooter);
  AddClusterFlags(*command, flags.cluster);
  command
      ->add_option("--watch-namespaces", flags.watch_namespaces,
                   "Comma-separated; without it, jobs of all namespaces")
      ->delimiter(',')
      ->type_name("NAMES");
  command
      ->add_option("--membership-address", flags.membership_address,
                   "Where the leader listens for workers")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command
      ->add_option("--advertise", flags.advertise,
                   "What workers dial, comma-separated; default: the headless Service "
                   "muster-membership of its namespace")
      ->delimiter(',')
      ->type_name("HOST:PORT");
  command->add_option("--metrics-address", flags.metrics_address, "/metrics, /healthz, /readyz")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command
      ->add_option("--worker-image", flags.worker_image,
                   "Of worker containers whose template names none")
      ->required()
      ->type_name("IMAGE");
  command
      ->add_option("--hardware-fault-taints", flags.fault_taints,
                   "Comma-separated keys: members leave a node that has such a taint")
      ->delimiter(',')
      ->type_name("KEYS");
  command
      ->add_option("--hardware-fault-conditions", flags.fault_conditions,
                   "Likewise types of node conditions, where they are True, or TYPE=False")
      ->delimiter(',')
      ->type_name("TYPE[=STATUS]");
  const auto duration = [command](const char* name, double& value, const char* about) {
    command->add_option(name, value, about)->transform(Seconds())->capture_default_str();
  };
  duration("--leader-elect-lease-duration", flags.lease_seconds,
           "How long the others wait for a leader that is silent");
  duration("--leader-elect-renew-deadline", flags.renew_seconds,
           "How long a leader may go without renewing");
  duration("--leader-elect-retry-period", flags.retry_seconds, "Between two tries");
  command->add_option("--audit-dir", flags.audit_dir, "For tests: a file of audit lines a job")
      ->group("");
  command->add_option("--log-format", flags.log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
}

void AddJobCommands(CLI::App& app, JobFlags& flags, std::string& output) {
  const auto add = [&](const char* name, JobVerb verb, const char* about) {
    CLI::App* command = app.add_subcommand(name, about);
    AddClusterFlags(*command, flags.cluster);
    command->add_option("JOB", flags.job, "Name of the TrainingJob")->required();
    command->callback([&flags, verb] { flags.verb = verb; });
    return command;
  };
  CLI::App* status =
      add("status", JobVerb::kStatus, "Tell how a job on a cluster goes, and what it waits for.");
  status->add_option("-o,--output", output, "text or json")->check(CLI::IsMember({"text", "json"}));
  CLI::App* logs = add("logs", JobVerb::kLogs, "Print the logs of a job's workers.");
  logs->add_flag("-f,--follow", flags.follow, "Go on as they grow");
  logs->add_option("--tail", flags.tail, "The last so many lines of each")
      ->check(CLI::Range(0, 1'000'000));
  logs->add_option("--member", flags.member, "Of this one alone, for example 3.2");
  add("events", JobVerb::kEvents, "Print the Events of a job and its pods.");
  add("suspend", JobVerb::kSuspend, "Finish the step, commit the state, give the machines back.");
  add("resume", JobVerb::kResume, "Go on with a job that was suspended.");
  CLI::App* scale = add("scale", JobVerb::kScale, "Set spec.workers.replicas.");
  scale->add_option("--replicas", flags.replicas, "How many workers")
      ->required()
      ->check(CLI::Range(1, 10'000));
}

}  // namespace muster::cli
