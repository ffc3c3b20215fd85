// The command line and its help: the only file that knows CLI11.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <utility>

#include "operator/api/schema.h"
#include "operator/cli/fault_spec.h"
#include "operator/cli/options.h"
#include "operator/cli/parse_operator.h"

namespace muster::cli {
namespace {

constexpr char kAbout[] =
    "Muster trains a model with workers that may come and go: the final weights are, bit for bit,\n"
    "those of a run in which nothing failed.\n";

constexpr char kMainFooter[] = R"(
Examples:
  muster validate job.yaml                  check a manifest: every error at once
  muster explain spec.training.slots        what a field means and allows
  muster run job.yaml                       train it on this machine
  muster run job.yaml --kill worker-2@step=40
                                            the same, and lose a worker on the way: the digest at
                                            the end does not change
`muster COMMAND --help` tells more about each command.)";

constexpr char kRunFooter[] = R"(
FAULT is TARGET@WHEN[:in=PHASE][:for=TIME]
  TARGET  worker-K     whoever holds ordinal K then
          node-K       all workers of that node (see --nodes)
          coordinator  for --kill only; it is started again at once while training goes on
  WHEN    step=N       when step N-1 is first committed
          time=10s     so long after the start
  :in=    forward, overlap, reduce, commit, checkpoint, rebuild or transfer: the target stops there
          first, so that the fault lands in that phase
  :for=   with --stop: it wakes after that time; without, never

Examples:
  muster run job.yaml --replicas 2
  muster run job.yaml --kill worker-2@step=40 --stop worker-1@step=80:for=5s --join @step=100
  muster run job.yaml --kill worker-0@step=10:in=reduce --kill coordinator@step=12
  muster run job.yaml --nodes 2 --kill node-1@time=30s --scale 7@step=200
  muster run job.yaml --output json > status.json

Ctrl-C (or SIGTERM, or the end of the terminal) finishes the step, commits the state and says how
to go on; a second one ends at once. The same command goes on from the last committed checkpoint,
with any number of workers.

Exit status:
  0    the job succeeded
  1    the job failed: the last lines say the reason
  2    wrong usage, a bad manifest, or a fault that never fired
  130  stopped, as by Ctrl-C (128 + SIGINT): nothing failed, the same command goes on)";

constexpr char kValidateFooter[] = R"(
Prints a line for each error and warning:
  job.yaml:12: spec.training.slots: 0 is not allowed: an integer from 1 to 65536

Examples:
  muster validate job.yaml other.yaml
  kubectl get trainingjob x -o yaml | muster validate -
  muster validate -o json job.yaml
  muster validate --schema                  every field with type, range and default

Exit status: 0 all are valid (warnings included), 2 errors.)";

constexpr char kExplainFooter[] = R"(
Examples:
  muster explain                            all fields
  muster explain spec.training              a part of them
  muster explain slots                      the fields of that name)";

// The texts of fault options as CLI11 collects them.
struct FaultTexts {
  std::vector<std::string> kill, stop, term, scale, join;
};

void AddRun(CLI::App& app, RunOptions& run, FaultTexts& faults, std::string& output) {
  CLI::App* command = app.add_subcommand("run", "Train a manifest on this machine.");
  command->footer(kRunFooter);
  command
      ->add_option("FILE", run.file, "Manifest of a TrainingJob, YAML or JSON; - is standard input")
      ->required();
  command->add_option("--replicas", run.replicas, "Workers, instead of spec.workers.replicas")
      ->check(CLI::Range(1, 10'000));
  command->add_option("--nodes", run.nodes, "Spread them over so many nodes: groups of processes")
      ->check(CLI::Range(1, 1'000))
      ->default_str("1");
  auto fault = [command](const char* name, std::vector<std::string>& texts, const char* about,
                         const char* form) {
    command->add_option(name, texts, about)->type_name(form)->expected(1)->take_all();
  };
  fault("--kill", faults.kill, "SIGKILL (may be given more than once, like those below)", "FAULT");
  fault("--stop", faults.stop, "SIGSTOP: the process hangs", "FAULT");
  fault("--term", faults.term, "SIGTERM: the worker leaves in order", "FAULT");
  fault("--join", faults.join, "One replica more", "@WHEN");
  fault("--scale", faults.scale, "So many replicas", "N@WHEN");
  command
      ->add_option("--audit", run.audit_file,
                   "Write a JSON line per step: which member read which samples")
      ->type_name("FILE");
  command
      ->add_option("--state-dir", run.state_dir,
                   "Where state, checkpoints and logs live; default: the user's state folder, by "
                   "job name")
      ->type_name("DIR");
  command->add_option("-o,--output", output, "text, or json: one document {status} at the end")
      ->check(CLI::IsMember({"text", "json"}));
  command->add_flag("-q,--quiet", run.quiet, "Only the result, and what went wrong");
  command
      ->add_option("--metrics-port", run.metrics_port,
                   "Serve /metrics, /healthz and /readyz of the coordinator here; 0: any free port")
      ->check(CLI::Range(0, 65'535));
  command
      ->add_option("--log-format", run.log_format, "Of the logs in the state folder: text or json")
      ->check(CLI::IsMember({"text", "json"}));
}

void AddOthers(CLI::App& app, ValidateOptions& validate, ExplainOptions& explain, CrdOptions& crd,
               CoordinatorOptions& coordinator, std::string& output) {
  CLI::App* check = app.add_subcommand("validate", "Check manifests without running them.");
  check->footer(kValidateFooter);
  check->add_option("FILE", validate.files, "Manifests; - is standard input");
  check->add_option("-o,--output", output, "text or json")->check(CLI::IsMember({"text", "json"}));
  check->add_flag("--schema", validate.schema, "Print every field with type, range and default");
  CLI::App* tell =
      app.add_subcommand("explain", "Say what a field of the manifest means and allows.");
  tell->footer(kExplainFooter);
  tell->add_option("FIELD", explain.field, "A path such as spec.training, or a field's name");
  app.add_subcommand("version", "Print version and build id.");
  CLI::App* generated = app.add_subcommand("crd", "Print the custom resource definition.");
  generated->group("");
  generated->add_flag("--tables", crd.tables, "Print the tables of docs/trainingjob.md instead");
  CLI::App* hidden = app.add_subcommand("coordinator", "Started by `muster run`.");
  hidden->group("");
  hidden->add_option("--socket", coordinator.socket, "Of the run it belongs to")->required();
}

absl::Status AddFaults(local::FaultKind kind, const std::vector<std::string>& texts,
                       std::vector<local::Fault>& faults) {
  for (const std::string& text : texts) {
    MUSTER_ASSIGN_OR_RETURN(local::Fault fault, ParseFault(kind, text));
    faults.push_back(std::move(fault));
  }
  return absl::OkStatus();
}

absl::Status AddAllFaults(const FaultTexts& texts, std::vector<local::Fault>& faults) {
  using local::FaultKind;
  MUSTER_RETURN_IF_ERROR(AddFaults(FaultKind::kKill, texts.kill, faults));
  MUSTER_RETURN_IF_ERROR(AddFaults(FaultKind::kStop, texts.stop, faults));
  MUSTER_RETURN_IF_ERROR(AddFaults(FaultKind::kTerm, texts.term, faults));
  MUSTER_RETURN_IF_ERROR(AddFaults(FaultKind::kJoin, texts.join, faults));
  return AddFaults(FaultKind::kScale, texts.scale, faults);
}

Said Usage(const std::string& sentence, const std::string& command) {
  return {"muster: " + sentence + "\nSee muster " + command + (command.empty() ? "" : " ") +
              "--help.\n",
          kExitUsage};
}

std::string DidYouMean(const std::string& word, const std::vector<std::string>& known) {
  const std::vector<std::string_view> names(known.begin(), known.end());
  const std::string near = api::Nearest(word, names);
  return near.empty() ? "" : "; did you mean " + near + "?";
}

// A sentence for the first word that is neither a command, an option nor a file; nothing: CLI11
// knows better what is wrong.
std::string UnknownWord(const CLI::App& app, const std::string& command,
                        const std::vector<std::string>& args) {
  std::vector<std::string> known;
  if (command.empty()) {
    for (const CLI::App* one : app.get_subcommands([](const CLI::App*) { return true; })) {
      if (!one->get_group().empty()) known.push_back(one->get_name());
    }
    if (args.empty() || args.front().starts_with("-")) return "";
    return "there is no command " + args.front() + DidYouMean(args.front(), known);
  }
  for (const CLI::Option* option : app.get_subcommand(command)->get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  for (const std::string& arg : args) {
    const std::string name = arg.substr(0, arg.find('='));
    if (!name.starts_with("--") || std::ranges::find(known, name) != known.end()) continue;
    return "there is no option " + name + DidYouMean(name, known);
  }
  return "";
}

}  // namespace

Command ParseCommandLine(const std::vector<std::string>& args) {
  CLI::App app(kAbout, "muster");
  app.footer(kMainFooter);
  app.require_subcommand(0, 1);
  app.set_help_flag("-h,--help", "Print this help");
  bool version = false;
  app.add_flag("--version", version, "Print version and build id");
  RunOptions run;
  ValidateOptions validate;
  ExplainOptions explain;
  CrdOptions crd;
  CoordinatorOptions coordinator;
  OperatorFlags the_operator;
  FaultTexts faults;
  std::string output = "text";
  AddRun(app, run, faults, output);
  AddOperator(app, the_operator);
  JobFlags job;
  AddJobCommands(app, job, output);
  AddOthers(app, validate, explain, crd, coordinator, output);
  std::vector<std::string> reversed(args.rbegin(), args.rend());  // as CLI11 wants it
  std::string command;
  for (const CLI::App* known : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!args.empty() && known->get_name() == args.front()) command = args.front();
  }
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    return Said{command.empty() ? app.help() : app.get_subcommand(command)->help("muster"), 0};
  } catch (const CLI::ParseError& error) {
    const std::string unknown = UnknownWord(app, command, args);
    return Usage(unknown.empty() ? error.what() : unknown, command);
  }
  const Output form = output == "json" ? Output::kJson : Output::kText;
  if (version || command == "version") return VersionOptions{};
  if (command == "run") {
    if (absl::Status status = AddAllFaults(faults, run.faults); !status.ok()) {
      return Usage(base::Message(status), command);
    }
    run.output = form;
    return run;
  }
  if (command == "validate") {
    validate.output = form;
    if (validate.files.empty() && !validate.schema) {
      return Usage("which file? Name manifests, or - for standard input.", command);
    }
    return validate;
  }
  if (command == "explain") return explain;
  if (command == "operator") return the_operator;
  if (!job.job.empty()) {
    job.output = form;
    return job;
  }
  if (command == "crd") return crd;
  if (command == "coordinator") return coordinator;
  return Said{app.help(), args.empty() ? kExitUsage : 0};
}

}  // namespace muster::cli
