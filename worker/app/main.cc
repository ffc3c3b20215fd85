// muster-worker: who it is comes from the environment, everything else from the coordinator.
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "operator/runtime/build_info.h"
#include "worker/app/worker.h"
#include "worker/kernels/family.h"
#include "worker/nccl/environment.h"

namespace {

constexpr const char* kHelp =
    "muster-worker trains as a member of a TrainingJob. It is started by the operator or by "
    "`muster run`,\n"
    "which say through the environment who it is: MUSTER_JOB_UID, MUSTER_MEMBER, "
    "MUSTER_COORDINATOR,\n"
    "MUSTER_TOKEN or MUSTER_TOKEN_FILE with MUSTER_CA_FILE, MUSTER_NODE; "
    "MUSTER_LOG_FORMAT=text|json,\n"
    "MUSTER_METRICS_PORT, MUSTER_THREADS.\n"
    "Exit codes are listed in docs/exit-codes.md.\n";

}  // namespace

int main(int argc, char** argv) {
  using namespace muster;
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
  auto signals = runtime::Signals::Create({SIGTERM, SIGINT});
  const auto format = runtime::ChooseLogFormat("", std::getenv("MUSTER_LOG_FORMAT"));
  const runtime::Logger log({format.ok() ? *format : runtime::LogFormat::kText,
                             std::getenv("MUSTER_DEBUG") != nullptr ? runtime::LogLevel::kDebug
                                                                    : runtime::LogLevel::kInfo,
                             stderr});
  auto options = app::ReadWorkerOptions([](const char* name) { return std::getenv(name); });
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
  app::Worker worker(*std::move(options), *std::move(hooks), log, **signals);
  return worker.Run();
}
