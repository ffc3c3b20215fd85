#include "operator/app/coordinator.h"

#include <signal.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "operator/api/training_job_json.h"
#include "operator/app/reign.h"
#include "operator/runtime/http_endpoint.h"
#include "operator/runtime/signals.h"

namespace muster::app {
namespace {

constexpr base::Duration kOpeningTimeout = std::chrono::seconds(10);

absl::StatusOr<local::Opening> WaitForOpening(Inputs& inputs, const runtime::Clock& clock) {
  const base::Time deadline = clock.Now() + kOpeningTimeout;
  while (auto input = inputs.PopUntil(deadline)) {
    if (const auto* stop = std::get_if<Stop>(&*input)) return base::Unavailable(stop->why);
    auto* message = std::get_if<local::ClusterMessage>(&*input);
    if (message == nullptr) continue;
    if (auto* opening = std::get_if<local::Opening>(message)) return std::move(*opening);
  }
  return base::DeadlineExceeded("the cluster did not say what job this is within 10 s");
}

// The first coordinator of a run with a record from before goes on from its checkpoint: lines of
// steps after it will be written again. Without a record the file is of another run altogether.
absl::StatusOr<std::unique_ptr<AuditLog>> OpenAudit(const local::ClusterSettings& settings,
                                                    const std::optional<api::Record>& record) {
  if (settings.audit_file.empty()) return std::unique_ptr<AuditLog>();
  MUSTER_ASSIGN_OR_RETURN(auto audit, AuditLog::Open(settings.audit_file));
  if (settings.reigns == 1) {
    const bool resumes = record && record->checkpoint;
    MUSTER_RETURN_IF_ERROR(audit->RollBack(resumes ? record->checkpoint->step : base::Step(0)));
  }
  return audit;
}

std::int64_t DieAfter() {
  const char* text = std::getenv("MUSTER_TEST_COORDINATOR_DIE");
  std::int64_t count = -1;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), count);
  return count > 0 ? count : -1;
}

// Everything that a reign needs and that can fail; a failure is told to the cluster as final.
class Setup {
 public:
  Setup(Inputs& inputs, local::ApiClient& cluster, const runtime::Logger& log)
      : inputs_(inputs), cluster_(cluster), log_(log) {}

  absl::Status Reign(local::Opening opening) {
    const local::ClusterSettings settings = opening.settings;
    MUSTER_RETURN_IF_ERROR(OpenMetrics(settings));
    auto store = FileRecordStore::Open(settings.record_dir);
    if (!store.ok()) return GiveUp("RecordUnreadable", store.status());
    auto record = (*store)->Read();
    if (!record.ok()) return GiveUp("RecordUnreadable", record.status());
    auto audit = OpenAudit(settings, *record);
    if (!audit.ok()) return GiveUp("AuditUnwritable", audit.status());
    app::Reign reign({std::move(opening), std::move(*record), std::move(*store), std::move(*audit),
                      inputs_, cluster_, metrics_, log_, DieAfter()});
    return reign.Run();
  }

 private:
  absl::Status OpenMetrics(const local::ClusterSettings& settings) {
    if (settings.metrics_port < 0) return absl::OkStatus();
    runtime::HttpEndpoint::Options options;
    options.port = settings.metrics_port;
    options.metrics = [this] { return metrics_.Text(); };
    auto endpoint = runtime::HttpEndpoint::Create(std::move(options));
    if (!endpoint.ok()) return GiveUp("PortTaken", endpoint.status());
    endpoint_ = std::move(*endpoint);
    cluster_.Send(local::Report{local::Note{
        "cluster", "metrics: http://127.0.0.1:" + std::to_string(endpoint_->port()) + "/metrics"}});
    return absl::OkStatus();
  }

  absl::Status GiveUp(const char* reason, const absl::Status& status) {
    cluster_.Send(local::GiveUp{reason, base::Message(status)});
    return status;
  }

  Inputs& inputs_;
  local::ApiClient& cluster_;
  const runtime::Logger& log_;
  JobMetrics metrics_;
  std::unique_ptr<runtime::HttpEndpoint>
      endpoint_;  // after metrics_: it reads them until it is gone
};

}  // namespace

int RunCoordinator(const CoordinatorOptions& options) {
  const auto format = runtime::ParseLogFormat(options.log_format);
  const runtime::Logger log({format.value_or(runtime::LogFormat::kText)});
  // Before any thread: all of them inherit the mask.
  auto signals = runtime::Signals::Create({SIGTERM, SIGINT});
  if (!signals.ok()) {
    log.Error("coordinator", base::Message(signals.status()));
    return 1;
  }
  const runtime::RealClock clock;
  Inputs inputs(8192, runtime::WhenFull::kBlock);
  auto cluster = local::ApiClient::Connect(
      options.socket,
      {[&](local::ClusterMessage message) { inputs.Push(Input(std::move(message))); },
       [&](const std::string& why) { inputs.Push(Input(Stop{why})); }});
  if (!cluster.ok()) {
    log.Error("coordinator", base::Message(cluster.status()));
    return 1;
  }
  std::jthread watcher([&](std::stop_token stop) {
    while (!stop.stop_requested()) {
      if ((*signals)->Wait(std::chrono::milliseconds(100)))
        inputs.Push(Input(Stop{"told to stop"}));
    }
  });
  absl::Status ended;
  if (auto opening = WaitForOpening(inputs, clock); opening.ok()) {
    ended = Setup(inputs, **cluster, log).Reign(std::move(*opening));
  } else {
    ended = opening.status();
  }
  // Whoever still pushes must not wait for a queue that nobody reads.
  inputs.Close();
  if (ended.ok()) return 0;
  log.Error("coordinator", base::Message(ended));
  return 1;
}

}  // namespace muster::app
