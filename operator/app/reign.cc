#include "operator/app/reign.h"

#include <algorithm>

#include "operator/api/training_job_json.h"
#include "operator/runtime/entropy.h"

namespace muster::app {
namespace {

// M3 counts a tick that is late by more than a beat as sleep, so this must stay well below 200 ms.
constexpr base::Duration kQuietTick = std::chrono::milliseconds(50);
constexpr base::Duration kBusyTick = std::chrono::milliseconds(10);
// A plan costs microseconds; steps alone need none more often than this.
constexpr base::Duration kPlanEvery = std::chrono::milliseconds(100);
constexpr int kMostInputsAtOnce = 256;

membership::Config MakeConfig(const Reign::Options& options, const runtime::Clock& clock) {
  const api::TrainingJob& job = options.opening.job;
  membership::Config config;
  config.job_uid = job.uid;
  config.token = options.opening.settings.token;
  config.spec = job.spec;
  config.record = options.record;
  config.seed = runtime::RandomNumber();
  config.audit = options.audit != nullptr;
  const base::Duration timeout = job.spec.elasticity.heartbeat_timeout;
  // Five beats to a timeout: one that is lost must not look like a death.
  config.heartbeat = std::min<base::Duration>(config.heartbeat, timeout / 5);
  config.wall_at_zero = clock.WallNow() - clock.Now().time_since_epoch();
  config.welcome.job_uid = job.uid;
  config.welcome.job_name = job.name;
  config.welcome.spec_json = api::SpecToJson(job.spec);
  config.welcome.checkpoint_path = options.opening.settings.checkpoint_dir;
  config.welcome.audit = config.audit;
  config.welcome.heartbeat_seconds = base::ToSeconds(config.heartbeat);
  config.welcome.heartbeat_timeout_seconds = base::ToSeconds(timeout);
  return config;
}

}  // namespace

Reign::Reign(Options options)
    : settings_(options.opening.settings),
      inputs_(options.inputs),
      cluster_(options.cluster),
      metrics_(options.metrics),
      log_(options.log),
      machine_(MakeConfig(options, clock_)),
      observation_(options.opening, options.opening.settings.reigns > 1),
      persister_(std::move(options.store),
                 [&inputs = options.inputs](membership::Persisted persisted) {
                   inputs.Push(Input(membership::Event(std::move(persisted))));
                 }),
      audit_(std::move(options.audit)),
      ledger_(options.opening.job.status.time_seconds),
      checkpoint_asked_at_(clock_.Now()),
      die_after_(options.die_after) {
  reached_step_ = options.opening.job.status.progress.step;
  if (options.record) found_epoch_ = options.record->newest.epoch;
}

Reign::~Reign() {
  // A stream's thread that waits for room in a queue that nobody reads would keep the server for
  // ever.
  inputs_.Close();
  if (server_ != nullptr) server_->Shutdown(std::chrono::milliseconds(200));
}

absl::Status Reign::Run() {
  Feed(membership::Start{});
  while (!stopped_) {
    if (auto input = inputs_.PopUntil(NextWake())) {
      Take(std::move(*input));
      for (int i = 1; i < kMostInputsAtOnce && !stopped_; ++i) {
        auto more = inputs_.TryPop();
        if (!more) break;
        Take(std::move(*more));
      }
    }
    const Instant at = At();
    // Unconditional: the machine's own deadlines are checked by ticks alone.
    if (at.now - ticked_at_ >= kBusyTick) {
      ticked_at_ = at.now;
      Feed(membership::Tick{});
    }
    snapshot_ = machine_.GetSnapshot(at.now);
    // An ended job spends no more time on anything.
    if (snapshot_.phase == "Over") {
      ledger_.Close(at.wall);
    } else {
      ledger_.Enter(snapshot_.time_state, at.wall);
    }
    if (snapshot_.phase == "Deposed") return base::Aborted("another coordinator reigns");
    const bool due = at.now - planned_at_ >= kPlanEvery || (look_again_ && at.wall >= *look_again_);
    if (urgent_ || due) Reconcile();
    ReportLive(at);
  }
  return *stopped_;
}

base::Time Reign::NextWake() const {
  const bool quiet = snapshot_.phase == "Settled";
  base::Time wake = ticked_at_ + (quiet ? kQuietTick : kBusyTick);
  if (const auto deadline = machine_.NextDeadline()) wake = std::min(wake, *deadline);
  // A deadline that is over already is the next tick's: no faster than the busy tick.
  return std::max(wake, ticked_at_ + kBusyTick);
}

void Reign::Take(Input input) {
  if (auto* event = std::get_if<membership::Event>(&input)) {
    Feed(std::move(*event));
  } else if (const auto* message = std::get_if<local::ClusterMessage>(&input)) {
    if (const auto* pod = std::get_if<local::PodChanged>(message))
      expected_pods_.erase(pod->pod.name);
    for (membership::Event& lost : observation_.OnCluster(*message)) Feed(std::move(lost));
    urgent_ = true;
  } else {
    log_.Info("coordinator", std::get<Stop>(input).why);
    stopped_ = absl::OkStatus();
  }
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
    if (persisted != nullptr && persisted->outcome == api::PersistOutcome::kOk &&
        server_ == nullptr) {
      if (auto listening = Listen(); !listening.ok()) stopped_ = listening;
    }
  }
}

// Who is behind a stream, and what a member says before it exits: for the sentence of its failure.
void Reign::PeekAtMember(const membership::Received& received) {
  if (const auto* hello = std::get_if<api::Hello>(&received.message.message)) {
    streams_[received.stream] = hello->member;
  } else if (const auto* failing = std::get_if<api::Failing>(&received.message.message)) {
    auto it = streams_.find(received.stream);
    if (it != streams_.end()) observation_.OnLastWords(it->second, failing->message);
  }
}

// The term is in the record: from here on members may come (M1).
absl::Status Reign::Listen() {
  rpc::MembershipServer::Options options;
  options.address = "127.0.0.1:" + std::to_string(settings_.port);
  options.on_message = [&inputs = inputs_](rpc::StreamId stream, api::FromMember message) {
    inputs.Push(Input(membership::Event(membership::Received{stream, std::move(message)})));
  };
  options.on_closed = [&inputs = inputs_](rpc::StreamId stream) {
    inputs.Push(Input(membership::Event(membership::StreamClosed{stream})));
  };
  MUSTER_ASSIGN_OR_RETURN(server_, rpc::MembershipServer::Create(std::move(options)));
  observation_.OnListening(clock_.WallNow());
  const membership::Snapshot snapshot = machine_.GetSnapshot(clock_.Now());
  log_.Info(
      "coordinator", "listens",
      {{"port", settings_.port}, {"term", snapshot.record.term}, {"reign", settings_.reigns}});
  for (membership::Event& lost : observation_.LostMembers(snapshot.record)) {
    own_events_.push_back(std::move(lost));
  }
  return absl::OkStatus();
}

}  // namespace muster::app
