// The command line as typed options, and help that a person can learn the program from.
#include <gtest/gtest.h>

#include "operator/cli/options.h"

namespace muster::cli {
namespace {

std::string Text(const Command& command) {
  const Said* said = std::get_if<Said>(&command);
  return said == nullptr ? "" : said->text;
}

TEST(ParseOptionsTest, ReadsARun) {
  const Command command = ParseCommandLine({"run",
                                            "job.yaml",
                                            "--replicas",
                                            "3",
                                            "--nodes",
                                            "2",
                                            "--kill",
                                            "worker-2@step=40",
                                            "--kill",
                                            "coordinator@step=50",
                                            "--stop",
                                            "worker-1@step=80:for=5s",
                                            "--join",
                                            "@step=100",
                                            "--scale",
                                            "3@step=120",
                                            "--audit",
                                            "a.jsonl",
                                            "--state-dir",
                                            "/s",
                                            "--output",
                                            "json",
                                            "--quiet",
                                            "--metrics-port",
                                            "0"});
  const RunOptions* run = std::get_if<RunOptions>(&command);
  ASSERT_NE(run, nullptr) << Text(command);
  EXPECT_EQ(run->file, "job.yaml");
  EXPECT_EQ(run->replicas, 3);
  EXPECT_EQ(run->nodes, 2);
  ASSERT_EQ(run->faults.size(), 5u);
  EXPECT_EQ(run->faults[1].target, local::TargetKind::kCoordinator);
  EXPECT_EQ(run->faults[4].replicas, 3);
  EXPECT_EQ(run->audit_file, "a.jsonl");
  EXPECT_EQ(run->state_dir, "/s");
  EXPECT_EQ(run->output, Output::kJson);
  EXPECT_TRUE(run->quiet);
  EXPECT_EQ(run->metrics_port, 0);
}

TEST(ParseOptionsTest, OptionsMayComeBeforeTheFile) {
  const Command command = ParseCommandLine({"run", "--kill", "worker-2@step=40", "job.yaml"});
  const RunOptions* run = std::get_if<RunOptions>(&command);
  ASSERT_NE(run, nullptr) << Text(command);
  EXPECT_EQ(run->file, "job.yaml");
  EXPECT_EQ(run->faults.size(), 1u);
}

TEST(ParseOptionsTest, ReadsTheOtherCommands) {
  const Command check = ParseCommandLine({"validate", "a", "-", "-o", "json"});
  ASSERT_TRUE(std::holds_alternative<ValidateOptions>(check)) << Text(check);
  EXPECT_EQ(std::get<ValidateOptions>(check).files, (std::vector<std::string>{"a", "-"}));
  EXPECT_EQ(std::get<ExplainOptions>(ParseCommandLine({"explain", "slots"})).field, "slots");
  EXPECT_TRUE(std::holds_alternative<VersionOptions>(ParseCommandLine({"version"})));
  EXPECT_TRUE(std::holds_alternative<VersionOptions>(ParseCommandLine({"--version"})));
  EXPECT_EQ(
      std::get<CoordinatorOptions>(ParseCommandLine({"coordinator", "--socket", "/x"})).socket,
      "/x");
}

TEST(ParseOptionsTest, ReadsTheOperatorsFlags) {
  const Command command = ParseCommandLine({"operator",
                                            "--worker-image",
                                            "i",
                                            "--watch-namespaces",
                                            "a,b",
                                            "--advertise",
                                            "h:1,g:2",
                                            "--leader-elect-lease-duration",
                                            "15s",
                                            "--leader-elect-retry-period",
                                            "500ms",
                                            "--hardware-fault-taints",
                                            "a.io/broken,b",
                                            "--hardware-fault-conditions",
                                            "GpuUnhealthy,GpuReady=False",
                                            "--kubeconfig",
                                            "k",
                                            "--context",
                                            "c",
                                            "-n",
                                            "ns"});
  ASSERT_TRUE(std::holds_alternative<OperatorFlags>(command)) << Text(command);
  const OperatorFlags& flags = std::get<OperatorFlags>(command);
  EXPECT_EQ(flags.worker_image, "i");
  EXPECT_EQ(flags.watch_namespaces, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(flags.advertise, (std::vector<std::string>{"h:1", "g:2"}));
  EXPECT_EQ(flags.fault_taints, (std::vector<std::string>{"a.io/broken", "b"}));
  EXPECT_EQ(flags.fault_conditions, (std::vector<std::string>{"GpuUnhealthy", "GpuReady=False"}));
  EXPECT_EQ(flags.lease_seconds, 15);
  EXPECT_EQ(flags.renew_seconds, 3);
  EXPECT_EQ(flags.retry_seconds, 0.5);
  EXPECT_EQ(flags.cluster.kubeconfig, "k");
  EXPECT_EQ(flags.cluster.context, "c");
  EXPECT_EQ(flags.cluster.ns, "ns");
}

TEST(ParseOptionsTest, ReadsTheCommandsAboutAJob) {
  const std::pair<std::vector<std::string>, JobVerb> verbs[] = {
      {{"status", "j"}, JobVerb::kStatus}, {{"logs", "j"}, JobVerb::kLogs},
      {{"events", "j"}, JobVerb::kEvents}, {{"suspend", "j"}, JobVerb::kSuspend},
      {{"resume", "j"}, JobVerb::kResume}, {{"scale", "j", "--replicas", "3"}, JobVerb::kScale},
  };
  for (const auto& [args, verb] : verbs) {
    const Command command = ParseCommandLine(args);
    ASSERT_TRUE(std::holds_alternative<JobFlags>(command)) << Text(command);
    EXPECT_EQ(std::get<JobFlags>(command).verb, verb);
    EXPECT_EQ(std::get<JobFlags>(command).job, "j");
  }
  const Command logs = ParseCommandLine(
      {"logs", "j", "-f", "--tail", "5", "--member", "3.2", "-n", "team", "--context", "c"});
  const JobFlags& flags = std::get<JobFlags>(logs);
  EXPECT_TRUE(flags.follow);
  EXPECT_EQ(flags.tail, 5);
  EXPECT_EQ(flags.member, "3.2");
  EXPECT_EQ(flags.cluster.ns, "team");
  const Command status = ParseCommandLine({"status", "j", "-o", "json"});
  EXPECT_EQ(std::get<JobFlags>(status).output, Output::kJson);
}

TEST(ParseOptionsTest, WrongUseIsStatusTwoWithASentence) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"run"},
      {"run", "a", "b"},
      {"run", "a", "--replicas", "0"},
      {"run", "a", "--replicas", "x"},
      {"run", "a", "--nodes", "0"},
      {"run", "a", "--output", "xml"},
      {"run", "a", "--metrics-port", "65536"},
      {"run", "a", "--kill", "nobody@step=1"},
      {"run", "a", "--log-format", "xml"},
      {"validate"},
      {"frobnicate"},
      {"run", "a", "--frobnicate"},
      {"operator"},
      {"operator", "--worker-image", "i", "--leader-elect-retry-period", "soon"},
      {"status"},
      {"scale", "j"},
      {"scale", "j", "--replicas", "0"},
  };
  for (const std::vector<std::string>& args : wrong) {
    const Command command = ParseCommandLine(args);
    const Said* said = std::get_if<Said>(&command);
    ASSERT_NE(said, nullptr) << (args.empty() ? "" : args.back());
    EXPECT_EQ(said->exit_status, kExitUsage) << said->text;
    EXPECT_FALSE(said->text.empty());
  }
}

TEST(ParseOptionsTest, AnUnknownWordIsNamedWithItsNearest) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"runn", "job.yaml"},
       "muster: there is no command runn; did you mean run?\nSee muster --help.\n"},
      {{"run", "job.yaml", "--kil", "worker-1@step=3"},
       "muster: there is no option --kil; did you mean --kill?\nSee muster run --help.\n"},
      {{"validate", "--schemas=x", "a"},
       "muster: there is no option --schemas; did you mean --schema?\nSee muster validate "
       "--help.\n"},
  };
  for (const auto& [args, text] : cases) EXPECT_EQ(Text(ParseCommandLine(args)), text);
}

TEST(ParseOptionsTest, HelpTeachesByExample) {
  const std::pair<std::vector<std::string>, std::vector<const char*>> cases[] = {
      {{"--help"}, {"bit for bit", "Examples:", "muster run job.yaml --kill", "explain"}},
      {{"run", "--help"},
       {"Usage: muster run [OPTIONS] FILE", "TARGET@WHEN[:in=PHASE][:for=TIME]", "--state-dir",
        "--join", "Exit status:\n  0    the job succeeded", "130  stopped, as by Ctrl-C",
        "forward, overlap, reduce, commit, checkpoint, rebuild or transfer"}},
      {{"validate", "--help"}, {"job.yaml:12: spec.training.slots", "Exit status"}},
      {{"explain", "-h"}, {"muster explain spec.training"}},
  };
  for (const auto& [args, parts] : cases) {
    const Command command = ParseCommandLine(args);
    const Said* said = std::get_if<Said>(&command);
    ASSERT_NE(said, nullptr);
    EXPECT_EQ(said->exit_status, 0);
    for (const char* part : parts) {
      EXPECT_NE(said->text.find(part), std::string::npos) << part << "\n" << said->text;
    }
    EXPECT_EQ(said->text.find("--socket"), std::string::npos);
  }
}

}  // namespace
}  // namespace muster::cli
