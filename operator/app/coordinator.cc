#include "operator/app/coordinator.h"

#include <signal.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <variant>

#include "operator/app/local_environment.h"
#include "operator/app/reign.h"
#include "operator/runtime/bounded_queue.h"
#include "operator/runtime/http_endpoint.h"
#include "operator/runtime/signals.h"
#include "operator/runtime/take_some.h"

namespace muster::app {
namespace {

constexpr base::Duration kOpeningTimeout = std::chrono::seconds(10);
constexpr int kMostInputsAtOnce = 256;

struct Stop {
  std::string why;
};

// Queues and threads (each arrow is a value that is sent, never a call that waits):
//
//   gRPC threads --Received, StreamClosed--> inbox, 8192, when full: the stream's thread waits and
//                                            its member with it, whose late beats are counted
//   socket reader --Opening, Change--------> inbox
//   persister ----Persisted----------------> inbox
//   signals ------Stop---------------------> inbox
//   reign --------Persist------------------> persister, 4
//   reign --------FromCoordinator----------> streams, 1024 each, when full: the stream is cut
//   reign --------requests, reports--------> socket writer, 4096, when full: the reign waits
//   reign --------JobFacts-----------------> metrics, latest wins
//
// The reign itself lives on the main thread.
using Letter = std::variant<Input, local::Opening, Stop>;
using Inbox = runtime::BoundedQueue<Letter>;

Letter FromCluster(local::ClusterMessage message) {
  return std::visit(
      [](auto&& m) -> Letter {
        if constexpr (std::is_same_v<std::decay_t<decltype(m)>, local::Opening>) {
          return std::forward<decltype(m)>(m);
        } else if constexpr (std::is_same_v<std::decay_t<decltype(m)>, local::PodChanged>) {
          return Input(job::Change(job::PodChanged{std::move(m.pod)}));
        } else if constexpr (std::is_same_v<std::decay_t<decltype(m)>, local::JobChanged>) {
          return Input(job::Change(job::JobChanged{std::move(m.job)}));
        } else {
          return Input(job::Change(std::forward<decltype(m)>(m)));
        }
      },
      std::move(message));
}

absl::StatusOr<local::Opening> WaitForOpening(Inbox& inbox, const runtime::Clock& clock) {
  const base::Time deadline = clock.Now() + kOpeningTimeout;
  while (auto letter = inbox.PopUntil(deadline)) {
    if (const auto* stop = std::get_if<Stop>(&*letter)) return base::Unavailable(stop->why);
    if (auto* opening = std::get_if<local::Opening>(&*letter)) return std::move(*opening);
  }
  return base::DeadlineExceeded("the cluster did not say what job this is within 10 s");
}

// Until it is told to stop. Not OK: the reign cannot go on.
absl::Status Drive(Reign& reign, Inbox& inbox, const runtime::Logger& log) {
  reign.Begin();
  while (!reign.ended()) {
    std::optional<Stop> stopped;
    runtime::TakeSome(inbox, reign.NextWake(), kMostInputsAtOnce, [&](Letter letter) {
      if (stopped || reign.ended()) return;
      if (auto* stop = std::get_if<Stop>(&letter)) stopped = std::move(*stop);
      // A second Opening says nothing new: one connection is one Opening.
      if (auto* input = std::get_if<Input>(&letter)) reign.Take(std::move(*input));
    });
    if (stopped) {
      log.Info("coordinator", stopped->why);
      return absl::OkStatus();
    }
    if (!reign.ended()) reign.Turn();
  }
  return *reign.ended();
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
  Setup(Inbox& inbox, local::ApiClient& cluster, const runtime::Logger& log, const std::string& ns)
      : inbox_(inbox), cluster_(cluster), log_(log), job_metrics_(metrics_, ns) {
    metrics_.AddBuildInfo("muster");
    metrics_.AddCollector([this] { return job_metrics_.Collect(); });
  }

  absl::Status Reign(local::Opening opening) {
    const local::ClusterSettings settings = opening.settings;
    MUSTER_RETURN_IF_ERROR(OpenMetrics(settings));
    auto store = FileRecordStore::Open(settings.record_dir);
    if (!store.ok()) return GiveUp("RecordUnreadable", store.status());
    auto record = (*store)->Read();
    if (!record.ok()) return GiveUp("RecordUnreadable", record.status());
    auto audit = OpenAudit(settings, *record);
    if (!audit.ok()) return GiveUp("AuditUnwritable", audit.status());
    LocalEnvironment environment({cluster_, std::move(*store), settings.port,
                                  [this](Input input) { inbox_.Push(Letter(std::move(input))); },
                                  log_});
    app::Reign reign(
        {{std::move(opening.job), std::move(opening.pods), std::move(opening.highest_incarnation)},
         settings.token,
         settings.checkpoint_dir,
         settings.reigns,
         std::move(*record),
         std::move(*audit),
         environment,
         job_metrics_,
         log_,
         clock_,
         DieAfter()});
    const absl::Status ended = Drive(reign, inbox_, log_);
    // Before the environment goes: a stream's thread that waits for room in a queue that nobody
    // reads would keep the server for ever.
    inbox_.Close();
    return ended;
  }

 private:
  absl::Status OpenMetrics(const local::ClusterSettings& settings) {
    if (settings.metrics_port < 0) return absl::OkStatus();
    runtime::HttpEndpoint::Options options;
    options.port = settings.metrics_port;
    options.metrics = [this] { return metrics_.Text(); };
    options.ready = [this] { return job_metrics_.Ready(); };
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

  Inbox& inbox_;
  local::ApiClient& cluster_;
  const runtime::Logger& log_;
  const runtime::RealClock clock_;
  runtime::Metrics metrics_;
  JobMetrics job_metrics_;
  std::unique_ptr<runtime::HttpEndpoint>
      endpoint_;  // after the metrics: it reads them until it is gone
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
  Inbox inbox(8192, runtime::WhenFull::kBlock);
  auto cluster = local::ApiClient::Connect(
      options.socket,
      {[&](local::ClusterMessage message) { inbox.Push(FromCluster(std::move(message))); },
       [&](const std::string& why) { inbox.Push(Letter(Stop{why})); }});
  if (!cluster.ok()) {
    log.Error("coordinator", base::Message(cluster.status()));
    return 1;
  }
  std::jthread watcher([&](std::stop_token stop) {
    while (!stop.stop_requested()) {
      if ((*signals)->Wait(std::chrono::milliseconds(100)))
        inbox.Push(Letter(Stop{"told to stop"}));
    }
  });
  absl::Status ended;
  if (auto opening = WaitForOpening(inbox, clock); opening.ok()) {
    ended = Setup(inbox, **cluster, log, opening->job.ns).Reign(std::move(*opening));
  } else {
    ended = opening.status();
  }
  // Whoever still pushes must not wait for a queue that nobody reads.
  inbox.Close();
  if (ended.ok()) return 0;
  log.Error("coordinator", base::Message(ended));
  return 1;
}

}  // namespace muster::app
