// Wires options, the local cluster, the screen and the signals together.
#include "operator/cli/run.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <istream>
#include <memory>
#include <optional>
#include <ostream>
#include <thread>
#include <vector>

#include "operator/api/training_job_json.h"
#include "operator/cli/fault_spec.h"
#include "operator/cli/manifest.h"
#include "operator/cli/places.h"
#include "operator/cli/screen.h"
#include "operator/cli/summary.h"
#include "operator/local/cluster.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/signals.h"

namespace muster::cli {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Environment ReadEnvironment() {
  std::error_code error;
  const std::filesystem::path here = std::filesystem::current_path(error);
  return {Variable("XDG_STATE_HOME"), Variable("HOME"), error ? "/" : here.string()};
}

// The worker lies beside this program.
absl::StatusOr<local::Programs> FindPrograms() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return base::Internal("cannot find this program's own file: " + error.message());
  const std::filesystem::path worker = self.parent_path() / "muster-worker";
  if (access(worker.c_str(), X_OK) != 0) {
    return base::FailedPrecondition(worker.string() +
                                    " is missing or not executable; it belongs beside " +
                                    self.filename().string());
  }
  return local::Programs{self.string(), worker.string()};
}

// A blocked signal arrives although it is ignored, so what nohup asks for has to be asked about.
std::vector<int> StopSignals() {
  std::vector<int> numbers = {SIGINT, SIGTERM};
  struct sigaction now{};
  if (sigaction(SIGHUP, nullptr, &now) == 0 && now.sa_handler != SIG_IGN) {
    numbers.push_back(SIGHUP);
  }
  return numbers;
}

// Turns the first Ctrl-C (or SIGTERM) into a drain and the second into an end, until it is
// destroyed. A terminal that goes away is a drain too, and never more: shell and kernel both send
// SIGHUP then.
class Interrupts final {
 public:
  Interrupts(runtime::Signals& signals, local::LocalCluster& cluster, std::atomic<bool>& draining)
      : thread_([&signals, &cluster, &draining](std::stop_token stop) {
          while (!stop.stop_requested()) {
            const std::optional<int> number = signals.Wait(std::chrono::milliseconds(100));
            if (!number) continue;
            if (!draining.exchange(true)) {
              cluster.Drain();
            } else if (*number != SIGHUP) {
              cluster.EndNow();
            }
          }
        }) {}

 private:
  std::jthread thread_;
};

ScreenKind KindFor(const RunOptions& options, int fd) {
  if (options.quiet) return ScreenKind::kQuiet;
  return options.output == Output::kText && CanPaint(fd) ? ScreenKind::kLive : ScreenKind::kPlain;
}

// One document, the status indented inside it.
std::string StatusDocument(const api::TrainingJobStatus& status) {
  std::string out = "{\n  \"status\": ";
  for (char c : api::StatusToJson(status, 2))
    out += c == '\n' ? std::string("\n  ") : std::string(1, c);
  return out + "\n}\n";
}

int Complain(const absl::Status& status, std::ostream& err) {
  err << "muster: " << base::Message(status) << "\n";
  const bool usage = status.code() == absl::StatusCode::kInvalidArgument ||
                     status.code() == absl::StatusCode::kFailedPrecondition;
  return usage ? kExitUsage : kExitFailed;
}

// The manifest, read and fit for one machine; false: the sentences are out.
bool ReadJob(const RunOptions& options, const Environment& environment, std::istream& in,
             std::ostream& err, api::TrainingJob* job) {
  const Manifest manifest = ReadManifest(options.file, in);
  for (const api::Finding& finding : manifest.result.errors) {
    err << FindingLine(options.file, finding, false) << "\n";
  }
  if (!options.quiet) {
    for (const api::Finding& finding : manifest.result.warnings) {
      err << FindingLine(options.file, finding, true) << "\n";
    }
  }
  if (!manifest.result.ok()) return false;
  Prepared prepared = Prepare(options, manifest.result.job, environment.working_directory);
  for (const std::string& sentence : prepared.errors) err << "muster: " << sentence << "\n";
  if (!options.quiet) {
    for (const std::string& note : prepared.notes) err << "note: " << note << "\n";
  }
  *job = std::move(prepared.job);
  return prepared.errors.empty();
}

local::ClusterOptions MakeClusterOptions(const RunOptions& options, const api::TrainingJob& job,
                                         std::string state_dir, local::Programs programs,
                                         const Environment& environment) {
  local::ClusterOptions cluster;
  cluster.job = job;
  cluster.state_dir = std::move(state_dir);
  cluster.state_dir_wins = !options.state_dir.empty();
  cluster.programs = std::move(programs);
  cluster.nodes = options.nodes;
  cluster.faults = options.faults;
  if (!options.audit_file.empty()) {
    cluster.audit_file = Absolute(options.audit_file, environment);
  }
  cluster.metrics_port = options.metrics_port;
  cluster.log_format = options.log_format;
  return cluster;
}

}  // namespace

Prepared Prepare(const RunOptions& options, api::TrainingJob job,
                 const std::string& working_directory) {
  Prepared prepared;
  api::WorkersSpec& workers = job.spec.workers;
  if (options.replicas > workers.max_replicas) {
    prepared.errors.push_back("--replicas " + std::to_string(options.replicas) +
                              " is not allowed: at most maxReplicas, which is " +
                              std::to_string(workers.max_replicas));
  } else if (options.replicas > 0) {
    workers.replicas = options.replicas;
    workers.min_replicas = std::min(workers.min_replicas, workers.replicas);
  }
  for (std::string& reason : RefusedOnOneMachine(job)) prepared.errors.push_back(std::move(reason));
  prepared.notes = IgnoredOnOneMachine(job);
  const absl::Status faults = CheckFaults(options.faults, job, options.nodes);
  if (!faults.ok()) prepared.errors.push_back(base::Message(faults));
  // Workers run in a directory of their own; a relative path is the person's.
  for (std::string* path : {&job.spec.data.path, &job.spec.program.weights.path,
                            &job.spec.program.config.matmul_table}) {
    if (!path->empty()) *path = Absolute(*path, {"", "", working_directory});
  }
  prepared.job = std::move(job);
  return prepared;
}

int RunRun(const RunOptions& options, std::istream& in, std::ostream& out, std::ostream& err) {
  const Environment environment = ReadEnvironment();
  api::TrainingJob job;
  if (!ReadJob(options, environment, in, err, &job)) return kExitUsage;
  absl::StatusOr<std::string> state_dir = StateDir(options, job.name, environment);
  if (!state_dir.ok()) return Complain(state_dir.status(), err);
  absl::StatusOr<local::Programs> programs = FindPrograms();
  if (!programs.ok()) return Complain(programs.status(), err);
  absl::StatusOr<std::unique_ptr<runtime::Signals>> signals =
      runtime::Signals::Create(StopSignals());
  if (!signals.ok()) return Complain(signals.status(), err);

  const bool json = options.output == Output::kJson;
  std::ostream& text = json ? err : out;
  const int fd = json ? STDERR_FILENO : STDOUT_FILENO;
  std::unique_ptr<Screen> screen;
  local::ClusterOptions wanted =
      MakeClusterOptions(options, job, *std::move(state_dir), *std::move(programs), environment);
  wanted.on_event = [&screen](const local::LocalEvent& event) {
    if (screen != nullptr) screen->OnEvent(event);
  };
  auto cluster = local::LocalCluster::Create(std::move(wanted));
  if (!cluster.ok()) return Complain(cluster.status(), err);
  if (!options.quiet) {
    text << "state: " << (*cluster)->state_dir()
         << ((*cluster)->resumes() ? " (goes on from its last committed checkpoint)" : "") << "\n"
         << std::flush;
  }
  const runtime::RealClock clock;
  std::atomic<bool> draining = false;
  screen = std::make_unique<Screen>(KindFor(options, fd), text, fd, clock,
                                    MakeRunState(job, clock.Now()), draining);
  absl::StatusOr<local::Outcome> outcome;
  {
    const Interrupts interrupts(**signals, **cluster, draining);
    outcome = (*cluster)->Run();
  }
  screen->Close();
  if (!outcome.ok()) {
    Complain(outcome.status(), err);
    return kExitFailed;
  }
  for (const std::string& line :
       SummaryLines(*outcome, screen->state(), ResumeCommand(options), options.quiet)) {
    text << line << "\n";
  }
  if (json) out << StatusDocument(outcome->status);
  out << std::flush;
  return ExitStatus(*outcome);
}

}  // namespace muster::cli
