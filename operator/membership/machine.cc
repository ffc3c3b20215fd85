// The machine's public face: an event in, commands out.
#include "operator/membership/machine.h"

#include <utility>

#include "operator/membership/state.h"

namespace muster::membership {
namespace {

struct Visitor {
  Core& core;
  void operator()(const Start&) { core.OnStart(); }
  void operator()(const Tick&) { core.OnTick(); }
  void operator()(const Received& e) { core.OnReceived(e); }
  void operator()(const StreamClosed& e) { core.OnStreamClosed(e); }
  void operator()(const Persisted& e) { core.OnPersisted(e); }
  void operator()(const SetTarget& e) { core.OnSetTarget(e); }
  void operator()(const SetTimeout& e) { core.OnSetTimeout(e); }
  void operator()(const PodLost& e) { core.OnPodLost(e); }
  void operator()(const PodLeaving& e) { core.OnPodLeaving(e); }
  void operator()(const NodeSuspect& e) { core.OnNodeSuspect(e); }
  void operator()(const FormerMembers& e) { core.OnFormerMembers(e); }
  void operator()(const CheckpointNow&) { core.OnCheckpointNow(); }
  void operator()(const Drain&) { core.OnDrain(); }
  void operator()(const FailJob& e) { core.OnFailJob(e); }
  void operator()(const Dissolve&) { core.OnDissolve(); }
  void operator()(const AuditWritten& e) { core.OnAuditWritten(e); }
};

}  // namespace

Machine::Machine(Config config) : state_(std::make_unique<State>(std::move(config))) {}
Machine::~Machine() = default;
Machine::Machine(Machine&&) noexcept = default;

Commands Machine::Step(base::Time now, const Event& event) {
  Core& core = *state_;
  core.out.clear();
  core.now = now;
  // M3: whoever was asleep for more than a beat has not heard the others; they are not to blame.
  const base::Duration slept = core.last_event ? now - *core.last_event : base::Duration(0);
  if (slept > core.config.heartbeat) core.WakeUp(slept);
  core.last_event = now;
  if (core.phase == Phase::kDeposed) return {};
  std::visit(Visitor{core}, event);
  core.Advance();
  return std::exchange(core.out, {});
}

Snapshot Machine::GetSnapshot(base::Time now) const {
  state_->now = now;
  return SnapshotOf(*state_);
}

std::optional<base::Time> Machine::NextDeadline() const { return NextDeadlineOf(*state_); }

std::vector<std::string> Invariants(const Machine& machine) {
  return InvariantsOf(*machine.state_);
}

}  // namespace muster::membership
