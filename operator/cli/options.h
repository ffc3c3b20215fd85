// What a command line asks for, as plain structs: everything after this is typed.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "operator/local/fault.h"

namespace muster::cli {

enum class Output { kText, kJson };

struct RunOptions {
  std::string file;
  int replicas = 0;  // 0: as the manifest says
  int nodes = 1;
  std::vector<local::Fault> faults;  // in the order of the command line, by kind
  std::string audit_file;
  std::string state_dir;  // empty: the user's state folder
  Output output = Output::kText;
  bool quiet = false;
  int metrics_port = -1;
  std::string log_format = "text";
};

struct ValidateOptions {
  std::vector<std::string> files;
  Output output = Output::kText;
  bool schema = false;  // print the table of fields instead
};

struct ExplainOptions {
  std::string field;  // empty: the whole table
};

// Which cluster, for every command that talks to one.
struct ClusterFlags {
  std::string kubeconfig;  // empty: KUBECONFIG, ~/.kube/config, or the pod's service account
  std::string context;     // empty: the kubeconfig's
  std::string ns;          // empty: the context's
};

struct OperatorFlags {
  ClusterFlags cluster;
  std::vector<std::string> watch_namespaces;  // empty: all
  std::string membership_address = "0.0.0.0:7420";
  std::vector<std::string> advertise;  // empty: the headless Service's name
  std::string metrics_address = "0.0.0.0:8080";
  std::string worker_image;
  std::vector<std::string> fault_taints;      // keys that tell of broken hardware
  std::vector<std::string> fault_conditions;  // likewise, TYPE or TYPE=STATUS of node conditions
  double lease_seconds = 5;
  double renew_seconds = 3;
  double retry_seconds = 1;
  std::string audit_dir;  // for tests
  std::string log_format = "json";
};

enum class JobVerb { kStatus, kLogs, kEvents, kSuspend, kResume, kScale };

// `muster status JOB` and its like.
struct JobFlags {
  ClusterFlags cluster;
  JobVerb verb = JobVerb::kStatus;
  std::string job;
  Output output = Output::kText;  // status
  bool follow = false;            // logs
  std::int64_t tail = -1;         // logs; -1: all
  std::string member;             // logs; empty: of all
  int replicas = 0;               // scale
};

struct VersionOptions {};

// The coordinator that `muster run` starts; not for people.
struct CoordinatorOptions {
  std::string socket;
};

// What `hack/dev crd` writes into the repository: the custom resource definition, or the tables of
// docs/trainingjob.md.
struct CrdOptions {
  bool tables = false;
};

// Text for standard output or error, and the exit status: help, or a wrong command line.
struct Said {
  std::string text;
  int exit_status = 0;
};

using Command = std::variant<Said, RunOptions, ValidateOptions, ExplainOptions, VersionOptions,
                             OperatorFlags, JobFlags, CrdOptions, CoordinatorOptions>;

// Exit statuses of `muster`.
inline constexpr int kExitSucceeded = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
// 128 + SIGINT, as shells have it for a program that Ctrl-C stopped. One number for all ways to be
// stopped, SIGTERM and a lost terminal included: what a script wants to know is that the same
// command goes on.
inline constexpr int kExitInterrupted = 130;

// args without the program's name.
Command ParseCommandLine(const std::vector<std::string>& args);

}  // namespace muster::cli
