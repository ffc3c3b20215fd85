// One coordinator's reign over one job: feeds the machine, obeys it, plans and writes the status.
//
// It lives on the thread that calls it, has no other, and waits for nothing: it is fed with inputs,
// told to take its turn after them and no later than NextWake(), and asks its Environment. Who
// calls it, and which queues lie between, says operator/app/coordinator.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "operator/app/audit_log.h"
#include "operator/app/environment.h"
#include "operator/app/job_metrics.h"
#include "operator/app/observation.h"
#include "operator/app/progress.h"
#include "operator/app/time_ledger.h"
#include "operator/job/plan.h"
#include "operator/membership/machine.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/log.h"

namespace muster::app {

class Reign final {
 public:
  struct Options {
    job::Listed listed;
    std::string token;                  // members prove with it that they belong to the job
    std::string checkpoint_dir;         // empty: the job writes no checkpoints
    std::int64_t reigns = 1;            // coordinators of this run so far, this one included
    std::optional<api::Record> record;  // as read from the store
    std::unique_ptr<AuditLog> audit;    // null: none
    Environment& environment;
    JobMetrics& metrics;
    const runtime::Logger& log;
    const runtime::Clock& clock;
    std::int64_t die_after = -1;  // MUSTER_TEST_COORDINATOR_DIE; -1: never
    // Progress alone is written no more often than this; a transition is written at once.
    base::Duration status_every = std::chrono::milliseconds(250);
    std::size_t most_rescales =
        SIZE_MAX;         // that a status keeps; people at a terminal want them all
    job::Pods pods = {};  // beside those of `listed`
  };
  explicit Reign(Options options);
  Reign(const Reign&) = delete;
  Reign& operator=(const Reign&) = delete;

  void Begin();  // once, before anything else: takes the term
  void Take(Input input);
  // Ticks, plans and reports, as far as they are due.
  void Turn();
  base::Time NextWake() const;
  // Set: it cannot go on, with a sentence. Aborted: another coordinator reigns.
  const std::optional<absl::Status>& ended() const { return ended_; }
  // When it ends: the pods of the job as they were told last, by name.
  job::Pods TakePods() { return observation_.TakePods(); }

 private:
  // reign.cc
  Instant At() const { return {clock_.Now(), clock_.WallNow()}; }
  void Feed(membership::Event event);
  void PeekAtMember(const membership::Received& received);
  void Listen();
  void KeepTime(const Instant& at);
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

  Environment& environment_;
  JobMetrics& metrics_;
  const runtime::Logger& log_;
  const runtime::Clock& clock_;
  membership::Machine machine_;
  Observation observation_;
  std::unique_ptr<AuditLog> audit_;
  bool listening_ = false;  // not before the term is persisted (M1)

  std::list<membership::Event> own_events_;  // that obeying a command led to, first in first out
  std::map<membership::StreamId, base::MemberId> streams_;
  membership::Snapshot snapshot_;
  ProgressMeter progress_;
  TimeLedger ledger_;
  std::vector<api::Rescale> new_rescales_;
  std::optional<base::Epoch> found_epoch_;  // of the record at the start; looked at once settled

  // What was asked for and is not yet seen in the watch: created, by name; deleted, by uid and
  // whether by force.
  struct Expected {
    std::string pod;
    base::Time until;  // and as long as it is under way
  };
  template <typename Key>
  void ForgetExpired(std::map<Key, Expected>& expected) const;
  std::map<std::string, Expected> expected_pods_;
  std::map<std::pair<std::string, bool>, Expected> expected_gone_;
  base::Time delete_job_at_;  // not asked for again before
  std::optional<job::Target> target_;
  base::Duration timeout_;  // heartbeatTimeout as membership was told
  bool failing_ = false;
  bool draining_ = false;
  bool suspended_ = false;  // on a cluster; one machine's run ends instead
  bool urgent_ = true;      // something happened that a plan should see at once
  base::Time planned_at_;
  std::optional<base::WallTime> look_again_;
  base::Time taken_at_;  // when the last input came
  const base::Duration status_every_;
  const std::size_t most_rescales_;
  base::Time status_written_at_;
  base::Time ticked_at_;
  base::Time live_at_;
  std::string live_shape_;  // what of it was reported last, without progress
  base::Time checkpoint_asked_at_;
  std::optional<absl::Status> ended_;
  std::int64_t die_after_;
  bool interrupted_ = false;
};

}  // namespace muster::app
