// See coordinator.h.
#include "tests/sim/coordinator.h"

#include <algorithm>
#include <type_traits>

#include "operator/api/device_line.h"
#include "operator/membership/patience.h"
#include "tests/sim/cluster.h"
#include "tests/sim/describe.h"

namespace muster::sim {

namespace {
membership::Config MakeConfig(const Cluster& cluster, int number) {
  membership::Config config;
  config.job_uid = kJobUid;
  config.token = kToken;
  config.spec = cluster.job.spec;
  config.welcome.job_uid = kJobUid;
  config.welcome.heartbeat_timeout_seconds = base::ToSeconds(kHeartbeatTimeout);
  config.welcome.checkpoint_path = cluster.job.spec.checkpoint.path;
  config.record = cluster.disk.record();
  config.seed = cluster.numbers.seed * 16 + static_cast<std::uint64_t>(number);
  return config;
}
}  // namespace

Coordinator::Coordinator(Cluster& cluster, int number)
    : cluster_(cluster),
      world_(cluster.world),
      number_(number),
      machine_(MakeConfig(cluster, number)),
      since_(cluster.world.wall()) {
  world_.Trace([&] { return name() + " starts"; });
  Post(membership::Start{});
  Tick();
}

void Coordinator::Later(base::Duration delay, std::function<void()> what) {
  world_.After(delay, [this, what = std::move(what)] {
    if (!alive_) return;
    if (stopped_) {
      frozen_.push_back(what);
    } else {
      what();
    }
  });
}

void Coordinator::Post(membership::Event event) {
  if (!alive_) return;
  inbox_.push_back(std::move(event));
  Later(world_.Micros(5, 150), [this] { Drain(); });
}

void Coordinator::Tick() {
  const auto deadline = machine_.NextDeadline();
  base::Duration wait = std::chrono::milliseconds(50);
  if (deadline)
    wait = std::clamp<base::Duration>(*deadline - world_.now(), std::chrono::milliseconds(1), wait);
  Later(wait, [this] {
    Post(membership::Tick{});
    Tick();
  });
}

void Coordinator::Drain() {
  if (inbox_.empty()) return;
  const membership::Event event = std::move(inbox_.front());
  inbox_.pop_front();
  const membership::Commands commands = machine_.Step(world_.now(), event);
  const bool dull = commands.empty() && IsDull(event);
  if (!dull) {
    world_.Trace([&] {
      std::string line = name() + ": " + Describe(event);
      for (const membership::Command& c : commands) line += "\n             => " + Describe(c);
      return line;
    });
  }
  for (const std::string& sentence : membership::Invariants(machine_)) {
    world_.Violation(name() + " after " + Describe(event) + ": " + sentence);
  }
  for (const membership::Command& command : commands) {
    if (alive_) Obey(command);
  }
}

void Coordinator::Kill() {
  if (!alive_) return;
  world_.Trace([&] { return name() + " is killed"; });
  alive_ = false;
  cluster_.network.CloseAllOf(*this);
  cluster_.parents.CloseAllOf(*this);
}

void Coordinator::ContinueProcess() {
  if (!alive_ || !stopped_) return;
  world_.Trace([&] { return name() + " continues"; });
  stopped_ = false;
  std::vector<std::function<void()>> waited = std::move(frozen_);
  frozen_.clear();
  for (auto& what : waited) Later(world_.Micros(0, 1), what);
}

void Coordinator::Succeeded(const api::JobResult& result) {
  cluster_.succeeded = true;
  if (result.digest != Hex(cluster_.reference.back())) {
    world_.Violation("the job succeeded with digest " + result.digest + ", the fault-free one is " +
                     Hex(cluster_.reference.back()));
  }
}

// M2: nobody whom the record names is told that it is fenced. A deposed coordinator's word is heard
// by nobody.
void Coordinator::MayFence(const membership::Send& send) {
  const auto& record = cluster_.disk.record();
  if (!std::holds_alternative<api::Fenced>(send.message.message)) return;
  if (!record || send.message.envelope.term != record->term) return;
  const base::MemberId id = cluster_.network.MemberOf(send.stream);
  if (Names(record->newest, id) || Names(record->previous, id)) {
    world_.Violation(name() + " fences " + base::ToString(id) + ", whom the record names (M2)");
  }
}

// M9: two changes that only take members in lie at least the interval apart. A view of another kind
// between them may be a loss, after which the next one comes at once.
void Coordinator::NoteJoin(const api::View& view) {
  if (view.epoch <= noted_) return;
  noted_ = view.epoch;
  if (!view.voluntary || !view.leavers.empty()) {
    joined_at_.reset();
    return;
  }
  const bool nccl = api::ReducesByNccl(cluster_.device);
  if (nccl && joined_at_ && world_.now() - *joined_at_ < membership::kNcclJoinInterval) {
    world_.Violation(name() + " takes members in with epoch " + std::to_string(view.epoch.value) +
                     " too soon after others (M9)");
  }
  joined_at_ = world_.now();
}

void Coordinator::Obey(const membership::Command& command) {
  std::visit(
      [this](const auto& c) {
        using C = std::decay_t<decltype(c)>;
        if constexpr (std::is_same_v<C, membership::Send>) {
          if (Parents::Owns(c.stream)) return cluster_.parents.Heard(c);
          MayFence(c);
          const auto* install = std::get_if<api::InstallView>(&c.message.message);
          if (install != nullptr) NoteJoin(install->view);
          cluster_.network.ToMember(*this, c.stream, c.message);
        } else if constexpr (std::is_same_v<C, membership::CloseStream>) {
          if (Parents::Owns(c.stream)) return cluster_.parents.Closed(c.stream);
          cluster_.network.Close(c.stream);
        } else if constexpr (std::is_same_v<C, membership::Persist>) {
          cluster_.disk.Persist(
              c.expected, c.next,
              [this](api::PersistOutcome outcome, std::optional<api::Record> current) {
                Post(membership::Persisted{outcome, std::move(current)});
              });
        } else if constexpr (std::is_same_v<C, membership::StepCommitted>) {
          cluster_.Reported(c.step);
        } else if constexpr (std::is_same_v<C, membership::Evicted>) {
          evicted_[c.member] = {c.reason, c.message};
          cluster_.Evicted(c.member);
        } else if constexpr (std::is_same_v<C, membership::DigestMismatch>) {
          world_.Violation("digest mismatch at step " + std::to_string(c.step.value) + ": " +
                           c.message);
        } else if constexpr (std::is_same_v<C, membership::JobSucceeded>)
          Succeeded(c.result);
        else if constexpr (std::is_same_v<C, membership::JobFailed>) {
          world_.Violation("the job failed: " + c.reason + ": " + c.message);
        } else if constexpr (std::is_same_v<C, membership::RolledBack>)
          ++cluster_.roll_backs;
      },
      command);
}

}  // namespace muster::sim
