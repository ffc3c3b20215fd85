#include "operator/app/reign.h"

#include <algorithm>

#include "operator/api/conditions.h"
#include "operator/api/training_job_json.h"
#include "operator/job/reasons.h"
#include "operator/job/rules.h"
#include "operator/runtime/entropy.h"

namespace muster::app {
namespace {

// M3 counts a tick that is late by more than a beat as sleep, so this must stay well below 200 ms.
constexpr base::Duration kQuietTick = std::chrono::milliseconds(50);
constexpr base::Duration kBusyTick = std::chrono::milliseconds(10);
// Nobody is there whose silence could mean something. A thousand jobs that wait for their pods, or
// have ended, would keep a core busy otherwise.
constexpr base::Duration kIdleTick = std::chrono::seconds(5);
// A plan costs microseconds; steps alone need none more often than this.
constexpr base::Duration kPlanEvery = std::chrono::milliseconds(100);

// What members are still to be told of a job that another coordinator has ended.
std::optional<api::Finish> LastWord(const api::TrainingJobStatus& status) {
  if (!job::IsTerminal(status.state)) return std::nullopt;
  const bool succeeded = status.state == api::JobState::kSucceeded;
  const char* type = succeeded ? job::reasons::kSucceeded : job::reasons::kFailed;
  const api::Condition* condition = api::FindCondition(status.conditions, type);
  if (condition == nullptr) return api::Finish{succeeded, type, "the job has ended"};
  return api::Finish{succeeded, condition->reason, condition->message};
}

membership::Config MakeConfig(const Reign::Options& options) {
  const api::TrainingJob& job = *options.listed.job;
  membership::Config config;
  config.job_uid = job.uid;
  config.token = options.token;
  config.spec = job.spec;
  config.record = options.record;
  config.ended = LastWord(job.status);
  config.seed = runtime::RandomNumber();
  config.audit = options.audit != nullptr;
  const base::Duration timeout = job.spec.elasticity.heartbeat_timeout;
  config.heartbeat =
      std::min<base::Duration>(config.heartbeat, timeout / membership::kBeatsToTimeout);
  config.wall_at_zero = options.clock.WallNow() - options.clock.Now().time_since_epoch();
  config.welcome.job_uid = job.uid;
  config.welcome.job_name = job.name;
  config.welcome.spec_json = api::SpecToJson(job.spec);
  config.welcome.checkpoint_path = options.checkpoint_dir;
  config.welcome.audit = config.audit;
  config.welcome.heartbeat_seconds = base::ToSeconds(config.heartbeat);
  config.welcome.heartbeat_timeout_seconds = base::ToSeconds(timeout);
  return config;
}

bool IsIdle(const membership::Snapshot& snapshot) {
  return snapshot.phase == "Over" || (snapshot.phase == "Waiting" && snapshot.members.empty());
}

}  // namespace

Reign::Reign(Options options)
    : environment_(options.environment),
      metrics_(options.metrics),
      log_(options.log),
      clock_(options.clock),
      machine_(MakeConfig(options)),
      observation_(options.listed, options.reigns > 1, std::move(options.pods)),
      audit_(std::move(options.audit)),
      progress_(base::Step(options.listed.job->status.progress.step)),
      ledger_(options.listed.job->status.time_seconds),
      timeout_(options.listed.job->spec.elasticity.heartbeat_timeout),
      status_every_(options.status_every),
      most_rescales_(options.most_rescales),
      checkpoint_asked_at_(clock_.Now()),
      die_after_(options.die_after) {
  if (options.record) found_epoch_ = options.record->newest.epoch;
}

void Reign::Begin() { Feed(membership::Start{}); }

void Reign::Turn() {
  const Instant at = At();
  // Unconditional: the machine's own deadlines are checked by ticks alone.
  if (at.now - ticked_at_ >= kBusyTick) {
    ticked_at_ = at.now;
    Feed(membership::Tick{});
  }
  snapshot_ = machine_.GetSnapshot(at.now);
  KeepTime(at);
  if (snapshot_.phase == "Deposed") {
    ended_ = base::Aborted("another coordinator reigns");
    return;
  }
  const bool due = at.now - planned_at_ >= kPlanEvery || (look_again_ && at.wall >= *look_again_);
  if (urgent_ || due) Reconcile();
  ReportLive(at);
}

// An ended job spends no more time on anything; a suspended one has not ended.
void Reign::KeepTime(const Instant& at) {
  if (suspended_) {
    ledger_.Enter(job::kSuspendedTime, at.wall);
  } else if (snapshot_.phase == "Over" || job::IsTerminal(observation_.status().state)) {
    ledger_.Close(at.wall);
  } else {
    ledger_.Enter(snapshot_.time_state, at.wall);
  }
}

base::Time Reign::NextWake() const {
  if (IsIdle(snapshot_)) {
    // What came last is planned for and written as soon as ever.
    const bool news = ticked_at_ - taken_at_ < kIdleTick;
    base::Time wake = ticked_at_ + (news ? kPlanEvery : kIdleTick);
    if (look_again_) wake = std::min(wake, clock_.Now() + (*look_again_ - clock_.WallNow()));
    return std::max(wake, ticked_at_ + kBusyTick);
  }
  const bool quiet = snapshot_.phase == "Settled";
  base::Time wake = ticked_at_ + (quiet ? kQuietTick : kBusyTick);
  if (const auto deadline = machine_.NextDeadline()) wake = std::min(wake, *deadline);
  // A deadline that is over already is the next tick's: no faster than the busy tick.
  return std::max(wake, ticked_at_ + kBusyTick);
}

void Reign::Take(Input input) {
  taken_at_ = clock_.Now();
  if (auto* event = std::get_if<membership::Event>(&input)) {
    Feed(std::move(*event));
    return;
  }
  const job::Change& change = std::get<job::Change>(input);
  if (const auto* pod = std::get_if<job::PodChanged>(&change)) expected_pods_.erase(pod->pod->name);
  if (const auto* refused = std::get_if<job::PodRefused>(&change)) {
    expected_pods_.erase(refused->name);
  }
  for (membership::Event& lost : observation_.OnChange(change, At())) Feed(std::move(lost));
  urgent_ = true;
}

void Reign::Feed(membership::Event event) {
  own_events_.push_back(std::move(event));
  while (!own_events_.empty()) {
    const membership::Event next = std::move(own_events_.front());
    own_events_.pop_front();
    if (const auto* received = std::get_if<membership::Received>(&next)) PeekAtMember(*received);
    if (const auto* closed = std::get_if<membership::StreamClosed>(&next)) {
      streams_.erase(closed->stream);
    }
    for (membership::Command& command : machine_.Step(clock_.Now(), next)) Obey(std::move(command));
    const auto* persisted = std::get_if<membership::Persisted>(&next);
    if (persisted != nullptr && persisted->outcome == api::PersistOutcome::kOk && !listening_) {
      Listen();
    }
  }
}

// Who is behind a stream, and what a member says before it exits: for the sentence of its failure.
void Reign::PeekAtMember(const membership::Received& received) {
  if (const auto* hello = std::get_if<api::Hello>(&received.message.message)) {
    streams_[received.stream] = hello->member;
  } else if (const auto* failing = std::get_if<api::Failing>(&received.message.message)) {
    auto it = streams_.find(received.stream);
    if (it != streams_.end()) {
      observation_.OnLastWords(it->second, {failing->exit_code, failing->message});
    }
  }
}

// The term is in the record: from here on members may come (M1).
void Reign::Listen() {
  if (auto listening = environment_.Listen(); !listening.ok()) {
    ended_ = std::move(listening);
    return;
  }
  listening_ = true;
  observation_.OnListening(clock_.WallNow());
  const membership::Snapshot snapshot = machine_.GetSnapshot(clock_.Now());
  for (membership::Event& lost : observation_.LostMembers(snapshot.record)) {
    own_events_.push_back(std::move(lost));
  }
}

}  // namespace muster::app
