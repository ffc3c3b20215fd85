// muster-worker: who it is comes from the environment, everything else from the coordinator.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "operator/runtime/build_info.h"
#include "worker/app/parent_stream.h"
#include "worker/app/tune.h"
#include "worker/app/worker.h"
#include "worker/kernels/family.h"
#include "worker/nccl/environment.h"
#include "worker/parent/parent.h"

namespace {

constexpr const char* kHelp =
    "muster-worker trains as a member of a TrainingJob. It is started by the operator or by "
    "`muster run`,\n"
    "which say through the environment who it is: MUSTER_JOB_UID, MUSTER_MEMBER, "
    "MUSTER_COORDINATOR,\n"
    "MUSTER_TOKEN or MUSTER_TOKEN_FILE with MUSTER_CA_FILE, MUSTER_NODE; "
    "MUSTER_LOG_FORMAT=text|json,\n"
    "MUSTER_METRICS_PORT, MUSTER_THREADS. With MUSTER_PROCESSES above 1 it starts so many of "
    "itself, "
    "each a\n"
    "member, and makes good those that die (docs/decisions/0009-several-processes.md).\n"
    "`muster-worker tune layers=12 width=768 ...` writes the table of matrix products of such a "
    "model "
    "on this GPU\n"
    "(docs/gpu.md).\n"
    "Exit codes are listed in docs/exit-codes.md.\n";

std::vector<std::string> OwnEnvironment() {
  std::vector<std::string> out;
  for (char** variable = environ; *variable != nullptr; ++variable) out.emplace_back(*variable);
  return out;
}

int RunParent(const muster::runtime::Logger& log, muster::runtime::Signals& signals) {
  using namespace muster;
  std::error_code error;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe", error).string();
  auto options = parent::ReadParentOptions(OwnEnvironment(), program);
  auto worker = app::ReadWorkerOptions([](const char* name) { return std::getenv(name); });
  for (const absl::Status& status : {options.status(), worker.status()}) {
    if (status.ok()) continue;
    log.Error("parent", base::Message(status));
    return static_cast<int>(api::ExitCode::kBadConfiguration);
  }
  const std::int32_t processes = options->config.processes;
  // There before Run, which alone tells.
  std::unique_ptr<app::ParentStream> stream;
  // The coordinator sees each end by the process's own stream; what it waits for is a kill.
  parent::Parent parent(*std::move(options), log, signals,
                        [&stream](const parent::Command& command) {
                          const auto* killed = std::get_if<parent::Killed>(&command);
                          if (killed != nullptr) stream->SayKilled(killed->member);
                        });
  auto created = app::ParentStream::Create(
      {*std::move(worker), processes,
       [&parent](std::vector<base::MemberId> evicted) { parent.Order({std::move(evicted)}); },
       [&parent](bool now) { parent.Reached(now); }},
      log);
  if (!created.ok()) {
    log.Error("parent", base::Message(created.status()));
    return static_cast<int>(api::ExitCode::kBadConfiguration);
  }
  stream = *std::move(created);
  const int code = parent.Run();
  stream.reset();  // its callbacks are the parent's
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace muster;
  const auto environment = [](const char* name) { return std::getenv(name); };
  if (argc > 1 && std::strcmp(argv[1], "tune") == 0) {
    return app::RunTune(std::vector<std::string>(argv + 2, argv + argc), environment, std::cout,
                        std::cerr);
  }
  if (argc > 1) {
    const bool version = std::strcmp(argv[1], "--version") == 0;
    const std::string line = "muster-worker " + std::string(runtime::Version()) + " (build " +
                             runtime::BuildId() + ")\n";
    std::fputs(version ? line.c_str() : kHelp, stdout);
    return version || std::strcmp(argv[1], "--help") == 0 ? 0 : 2;
  }
  // gRPC writes each failed handshake to standard error, past our log and its format; why there is no
  // stream is in ours. Who wants to see it sets the variable.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  const bool is_parent = parent::IsParent(OwnEnvironment());
  std::vector<int> caught = {SIGTERM, SIGINT};
  if (is_parent) caught.push_back(SIGCHLD);
  auto signals = runtime::Signals::Create(caught);
  const auto format = runtime::ChooseLogFormat("", std::getenv("MUSTER_LOG_FORMAT"));
  const runtime::Logger log({format.ok() ? *format : runtime::LogFormat::kText,
                             std::getenv("MUSTER_DEBUG") != nullptr ? runtime::LogLevel::kDebug
                                                                    : runtime::LogLevel::kInfo,
                             stderr});
  if (is_parent && signals.ok() && format.ok()) return RunParent(log, **signals);
  auto options = app::ReadWorkerOptions(environment);
  auto hooks = app::ParseTestHooks(options.ok() ? options->test_hooks : "");
  for (const absl::Status& status :
       {signals.status(), format.status(), options.status(), hooks.status()}) {
    if (status.ok()) continue;
    log.Error("worker", base::Message(status));
    return static_cast<int>(api::ExitCode::kBadConfiguration);
  }
  // Pinned early, so that the family which the welcome names is usually the one that runs already.
  app::PinFamily(kernels::SupportedFamilies().front());
  // NCCL reads these once, and no other thread may be there: on a machine without GPUs they do nothing.
  nccl::ApplyToProcess(nccl::MakeChanges(nccl::ProcessEnvironment));
  if (options->share_gpus) {
    nccl::ApplyToProcess(nccl::MakeSharedGpuChanges(nccl::ProcessEnvironment, getpid()));
  }
  app::Worker worker(*std::move(options), *std::move(hooks), log, **signals);
  return worker.Run();
}
