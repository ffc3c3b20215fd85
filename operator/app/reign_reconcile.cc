// Observe, plan, apply, write the status.
#include <algorithm>
#include <utility>

#include "operator/app/reign.h"
#include "operator/app/status_builder.h"
#include "operator/job/reasons.h"

namespace muster::app {
namespace {

constexpr base::Duration kLiveEvery = std::chrono::milliseconds(200);
// What was done and the watch does not show by then is taken for refused, and planned again. That is
// harmless: the same name is the same pod, and a deletion names the uid.
constexpr base::Duration kExpectFor = std::chrono::seconds(5);

std::int32_t CountActive(const job::Observed& observed) {
  return static_cast<std::int32_t>(
      std::count_if(observed.pods.begin(), observed.pods.end(), [](const job::Pod& pod) {
        return !pod.deleting &&
               (pod.phase == job::PodPhase::kPending || pod.phase == job::PodPhase::kRunning);
      }));
}

}  // namespace

void Reign::Reconcile() {
  const Instant at = At();
  urgent_ = false;
  planned_at_ = at.now;
  metrics_.OnReconcile();
  snapshot_ = machine_.GetSnapshot(at.now);
  AddMissedRescale();
  for (membership::Event& hint : observation_.Hints(snapshot_, at)) Feed(std::move(hint));
  const job::Observed observed = observation_.Observe(snapshot_, at);
  const job::Plan plan = job::MakePlan(observed, at.wall);
  look_again_ = plan.look_again;
  suspended_ = observed.on_cluster && plan.state == api::JobState::kSuspended;
  KeepTime(at);
  Apply(plan);
  // A loss is written down before anything is done about it: whoever takes over in between would not
  // know of it (environment.h).
  WriteStatus(plan, observed, at);
  ApplyPods(plan);
  if (plan.delete_job && at.now >= delete_job_at_) {
    delete_job_at_ = at.now + kExpectFor;
    environment_.DeleteJob(*plan.delete_job);
  }
  if (plan.new_reign) {
    ended_ = base::Aborted("the job goes on with another reign");
    return;
  }
  AskForCheckpoint(at);
}

void Reign::Apply(const job::Plan& plan) {
  if (plan.set_target && plan.set_target != target_) {
    target_ = plan.set_target;
    Feed(membership::SetTarget{target_->desired, target_->min});
  }
  const base::Duration timeout = observation_.job().spec.elasticity.heartbeat_timeout;
  if (timeout != timeout_) {
    timeout_ = timeout;
    Feed(membership::SetTimeout{timeout});
  }
  if (plan.drain && !draining_) {
    draining_ = true;
    Feed(membership::Drain{});
  }
  if (plan.fail_job && !failing_) {
    failing_ = true;
    Feed(membership::FailJob{plan.fail_job->reason, plan.fail_job->message});
  }
}

// What stands in line behind a thousand others is not asked for again.
template <typename Key>
void Reign::ForgetExpired(std::map<Key, Expected>& expected) const {
  const base::Time now = clock_.Now();
  for (auto it = expected.begin(); it != expected.end();) {
    Expected& asked = it->second;
    const bool expired = now >= asked.until;
    const bool waits = expired && environment_.IsUnderWay(asked.pod);
    if (waits) asked.until = now + kExpectFor;
    it = expired && !waits ? expected.erase(it) : std::next(it);
  }
}

void Reign::ApplyPods(const job::Plan& plan) {
  // Not before the term is in the record (M1): another may reign, and where the one before left a result,
  // pods that ended well are no losses, which membership says only then.
  if (!listening_) return;
  // Deletions first: a create that takes the place of a deleted pod must not be counted beside it.
  const base::Time now = clock_.Now();
  ForgetExpired(expected_gone_);
  ForgetExpired(expected_pods_);
  for (const job::DeletePod& wanted : plan.deletes) {
    // By force is another wish than in order.
    const auto asked = std::pair(wanted.uid, wanted.force);
    if (!expected_gone_.try_emplace(asked, wanted.name, now + kExpectFor).second) continue;
    log_.Info("plan", "delete " + wanted.name,
              {{"reason", wanted.reason}, {"why", wanted.message}});
    environment_.DeletePod(wanted);
  }
  // Until the watch shows what was created last, the observation is too old to create from.
  if (!expected_pods_.empty()) return;
  for (const job::CreatePod& wanted : plan.creates) {
    log_.Info("plan", "create " + wanted.name,
              {{"member", wanted.member}, {"reason", wanted.reason}, {"why", wanted.message}});
    expected_pods_.insert_or_assign(wanted.name, Expected{wanted.name, now + kExpectFor});
    environment_.CreatePod(wanted);
  }
}

// A view that the coordinator before this one made, and died before it could say what that took.
void Reign::AddMissedRescale() {
  if (!found_epoch_ || snapshot_.phase != "Settled") return;
  const base::Epoch found = *std::exchange(found_epoch_, std::nullopt);
  if (snapshot_.record.newest.epoch != found) return;  // another followed; its entry says it
  const std::vector<api::Rescale>& known = observation_.status().rescales;
  if (!known.empty() && known.back().epoch >= found) return;
  api::Rescale missed;
  missed.epoch = found;
  missed.cause = job::reasons::kCoordinatorRestarted;
  missed.from = known.empty() ? 0 : known.back().to;
  missed.to = snapshot_.size;
  Obey(membership::RescaleDone{std::move(missed)});
}

void Reign::WriteStatus(const job::Plan& plan, const job::Observed& observed, const Instant& at) {
  const api::TrainingJob& job = observation_.job();
  const api::TrainingJobStatus& written = observation_.status();
  StatusInputs in{job, written,        plan,          snapshot_,
                  {},  ledger_.sums(), new_rescales_, CountActive(observed),
                  "",  most_rescales_, at.wall};
  // With the first pods, and again where the template of a suspended job was changed.
  const bool first = written.worker_image.empty() && (plan.started || !plan.creates.empty());
  if (first || (plan.started && written.template_hash != plan.template_hash)) {
    in.worker_image = environment_.WorkerImage(job);
  }
  in.progress =
      progress_.Make(written.progress, job.spec.training.steps, snapshot_.committed, at.wall);
  // Before the first view nobody knows a step: what an earlier run reached stays in the status.
  if (snapshot_.size == 0) in.progress.step = written.progress.step;
  api::TrainingJobStatus status = MakeStatus(in);
  JobFacts facts = FactsOf(job, status);
  facts.listening = listening_;
  facts.steps_total = progress_.steps_total();
  facts.tokens_total = progress_.tokens_total();
  facts.loss = progress_.loss().value_or(facts.loss);
  facts.time_seconds = ledger_.Totals(at.wall);
  metrics_.Publish(std::move(facts));
  if (status == written) return;
  const bool transition = IsTransition(written, status);
  // Without a transition the failures and rescales are the same, so nothing is lost by waiting.
  if (!transition && at.now - status_written_at_ < status_every_) return;
  status_written_at_ = at.now;
  new_rescales_.clear();
  const job::SharedStatus shared(std::move(status));
  observation_.OnStatusWritten(shared);
  environment_.WriteStatus(shared);
}

void Reign::ReportLive(const Instant& at) {
  job::Live live;
  live.term = snapshot_.record.term;
  live.epoch = snapshot_.record.newest.epoch;
  live.phase = snapshot_.phase;
  live.time_state = snapshot_.time_state;
  live.size = snapshot_.size;
  live.desired = target_ ? target_->desired : 0;
  live.committed = snapshot_.committed;
  live.baseline_loss = snapshot_.baseline_loss;
  std::string shape = live.phase + "/" + std::to_string(live.epoch.value) + "/" +
                      std::to_string(live.size) + "/" + std::to_string(live.desired);
  for (const membership::MemberSnapshot& m : snapshot_.members) {
    live.members.push_back({m.id, m.pid, m.node, m.in_view, m.warm, m.connected, m.leaving, m.phase,
                            m.step, m.committed});
    shape += " " + base::ToString(m.id) + (m.in_view ? "v" : m.warm ? "w" : "-");
  }
  if (shape == live_shape_ && at.now - live_at_ < kLiveEvery) return;
  live_shape_ = std::move(shape);
  live_at_ = at.now;
  environment_.Tell(std::move(live));
}

// checkpoint.everySeconds counts from the last commit, or from the last time it was asked for.
void Reign::AskForCheckpoint(const Instant& at) {
  const std::int64_t seconds = observation_.job().spec.checkpoint.every_seconds;
  if (seconds <= 0 || snapshot_.size == 0) return;
  if (at.now - checkpoint_asked_at_ < std::chrono::seconds(seconds)) return;
  checkpoint_asked_at_ = at.now;
  Feed(membership::CheckpointNow{});
}

}  // namespace muster::app
