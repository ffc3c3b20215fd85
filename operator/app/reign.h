// One coordinator's reign over one job: feeds the machine, obeys it, plans and writes the status.
//
// Queues and threads (each arrow is a value that is sent, never a call that waits):
//
//   gRPC threads --Received, StreamClosed--> inputs, 8192, when full: the stream's thread waits and
//                                            its member with it, whose late beats are counted
//   socket reader --ClusterMessage---------> inputs
//   persister ----Persisted----------------> inputs
//   signals ------Stop---------------------> inputs
//   reign --------Persist------------------> persister, 4
//   reign --------FromCoordinator----------> streams, 1024 each, when full: the stream is cut
//   reign --------requests, reports--------> socket writer, 4096, when full: the reign waits
//   reign --------JobFacts-----------------> metrics, latest wins
//
// Everything in this class happens on the thread that calls Run().
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "operator/app/audit_log.h"
#include "operator/app/job_metrics.h"
#include "operator/app/observation.h"
#include "operator/app/persister.h"
#include "operator/app/progress.h"
#include "operator/app/time_ledger.h"
#include "operator/job/plan.h"
#include "operator/local/api_client.h"
#include "operator/membership/machine.h"
#include "operator/rpc/server.h"
#include "operator/runtime/bounded_queue.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/log.h"

namespace muster::app {

struct Stop {
  std::string why;
};
using Input = std::variant<membership::Event, local::ClusterMessage, Stop>;
using Inputs = runtime::BoundedQueue<Input>;

class Reign final {
 public:
  struct Options {
    local::Opening opening;
    std::optional<api::Record> record;  // as read from the store
    std::unique_ptr<RecordStore> store;
    std::unique_ptr<AuditLog> audit;  // null: none
    Inputs& inputs;
    local::ApiClient& cluster;
    JobMetrics& metrics;
    const runtime::Logger& log;
    std::int64_t die_after = -1;  // MUSTER_TEST_COORDINATOR_DIE; -1: never
  };
  explicit Reign(Options options);
  ~Reign();
  Reign(const Reign&) = delete;
  Reign& operator=(const Reign&) = delete;

  // Until it is told to stop. Not OK: it cannot go on, with a sentence.
  absl::Status Run();

 private:
  // reign.cc
  Instant At() const { return {clock_.Now(), clock_.WallNow()}; }
  base::Time NextWake() const;
  void Take(Input input);
  void Feed(membership::Event event);
  void PeekAtMember(const membership::Received& received);
  absl::Status Listen();
  // reign_obey.cc
  void Obey(membership::Command command);
  void Obey(membership::Send send);
  void Obey(membership::CloseStream close);
  void Obey(membership::Persist persist);
  void Obey(membership::StepCommitted step);
  void Obey(membership::HeldOut held_out);
  void Obey(membership::RolledBack rolled_back);
  void Obey(membership::Evicted evicted);
  void Obey(membership::RescaleDone rescale);
  void Obey(membership::CheckpointDone done);
  void Obey(membership::CheckpointAbandoned abandoned);
  void Obey(membership::DigestMismatch mismatch);
  void Obey(membership::JobSucceeded succeeded);
  void Obey(membership::JobDrained drained);
  void Obey(membership::JobFailed failed);
  void Obey(membership::Note note);
  void CountTowardsDeath(bool is_interrupt);
  // reign_reconcile.cc
  void Reconcile();
  void Apply(const job::Plan& plan);
  void ApplyPods(const job::Plan& plan);
  void WriteStatus(const job::Plan& plan, const job::Observed& observed, const Instant& at);
  void ReportLive(const Instant& at);
  void AskForCheckpoint(const Instant& at);
  void AddMissedRescale();

  void Report(local::LocalEvent event) { cluster_.Send(local::Report{std::move(event)}); }

  const local::ClusterSettings settings_;
  Inputs& inputs_;
  local::ApiClient& cluster_;
  JobMetrics& metrics_;
  const runtime::Logger& log_;
  const runtime::RealClock clock_;
  membership::Machine machine_;
  Observation observation_;
  Persister persister_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<rpc::MembershipServer> server_;  // null until the term is persisted (M1)

  std::deque<membership::Event> own_events_;  // that obeying a command led to
  std::map<membership::StreamId, base::MemberId> streams_;
  membership::Snapshot snapshot_;
  ProgressMeter progress_;
  TimeLedger ledger_;
  std::vector<api::Rescale> new_rescales_;
  std::optional<base::Epoch> found_epoch_;  // of the record at the start; looked at once settled
  std::int64_t reached_step_ = 0;           // highest that the users were told of

  std::set<std::string> expected_pods_;  // created, not yet seen in the watch
  base::Time expected_until_;
  std::optional<job::Target> target_;
  bool failing_ = false;
  bool draining_ = false;
  bool urgent_ = true;  // something happened that a plan should see at once
  base::Time planned_at_;
  std::optional<base::WallTime> look_again_;
  base::Time status_written_at_;
  base::Time ticked_at_;
  base::Time live_at_;
  std::string live_shape_;  // what of it was reported last, without progress
  base::Time checkpoint_asked_at_;
  std::optional<absl::Status> stopped_;
  std::int64_t die_after_;
  bool interrupted_ = false;
};

}  // namespace muster::app
