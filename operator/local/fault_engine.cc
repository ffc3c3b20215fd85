#include "operator/local/fault_engine.h"

#include <signal.h>

#include <algorithm>

namespace muster::local {
namespace {

std::string Describe(const Fault& fault, const std::vector<base::MemberId>& targets) {
  std::string who;
  for (base::MemberId member : targets) who += (who.empty() ? "" : ", ") + base::ToString(member);
  std::string text;
  switch (fault.kind) {
    case FaultKind::kKill:
      text = "killed ";
      break;
    case FaultKind::kStop:
      text = "stopped ";
      break;
    case FaultKind::kTerm:
      text = "asked to leave: ";
      break;
    case FaultKind::kScale:
      return "the job wants " + std::to_string(fault.replicas) + " replicas";
    case FaultKind::kJoin:
      return "the job wants one replica more";
  }
  switch (fault.target) {
    case TargetKind::kWorker:
      text += "worker-" + std::to_string(fault.index) + " (" + who + ")";
      break;
    case TargetKind::kNode:
      text += "node-" + std::to_string(fault.index) + " (" + who + ")";
      break;
    case TargetKind::kCoordinator:
      text += "the coordinator";
      break;
    case TargetKind::kJob:
      break;
  }
  if (fault.phase) text += " in " + std::string(ToString(*fault.phase));
  return text;
}

void Append(FaultActions& to, FaultActions from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

std::string_view ToString(FaultPhase phase) {
  switch (phase) {
    case FaultPhase::kForward:
      return "forward";
    case FaultPhase::kOverlap:
      return "overlap";
    case FaultPhase::kReduce:
      return "reduce";
    case FaultPhase::kCommit:
      return "commit";
    case FaultPhase::kCheckpoint:
      return "checkpoint";
    case FaultPhase::kRebuild:
      return "rebuild";
    case FaultPhase::kTransfer:
      return "transfer";
  }
  return "";
}

FaultEngine::FaultEngine(std::vector<Fault> faults, base::Time start) : start_(start) {
  for (Fault& fault : faults) faults_.push_back({std::move(fault), Stage::kWaiting, {}});
}

FaultActions FaultEngine::OnTraining(base::Time now, base::Step committed) {
  if (committed_) return {};
  committed_ = committed;
  FaultActions actions;
  for (Tracked& tracked : faults_) {
    const auto& step = tracked.fault.trigger.step;
    if (!step || step->value > committed.value) continue;
    tracked.stage = Stage::kSkipped;
    actions.push_back(Announce{tracked.fault.text, "skipped: step " + std::to_string(step->value) +
                                                       " was committed by an earlier run"});
  }
  Append(actions, Advance(now));
  return actions;
}

FaultActions FaultEngine::OnStepCommitted(base::Time now, base::Step step) {
  FaultActions actions = OnTraining(now, base::Step(step.value - 1));
  committed_ = std::max(*committed_, step);
  Append(actions, Advance(now));
  return actions;
}

FaultActions FaultEngine::OnTick(base::Time now) { return Advance(now); }

FaultActions FaultEngine::OnPodStarted(base::Time now, base::MemberId member,
                                       const std::string& node) {
  pods_[member] = node;
  return Advance(now);
}

FaultActions FaultEngine::OnPodGone(base::Time now, base::MemberId member) {
  pods_.erase(member);
  for (Tracked& tracked : faults_) tracked.armed.erase(member);
  std::erase_if(sleepers_, [&](const Sleeper& sleeper) { return sleeper.member == member; });
  return Advance(now);
}

FaultActions FaultEngine::OnPodStopped(base::Time now, base::MemberId member) {
  FaultActions actions;
  bool ours = false;
  for (Tracked& tracked : faults_) {
    if (tracked.armed.erase(member) == 0) continue;
    ours = true;
    if (tracked.stage != Stage::kDue) continue;
    std::vector<base::MemberId> targets = {member};
    if (tracked.fault.target == TargetKind::kNode) targets = Targets(tracked.fault);
    Strike(now, tracked, targets, actions);
    return actions;
  }
  // Its breakpoint was for a fault that has struck elsewhere meanwhile.
  if (ours) actions.push_back(SignalPod{member, SIGCONT});
  return actions;
}

bool FaultEngine::WillWake(base::MemberId member) const {
  return std::any_of(sleepers_.begin(), sleepers_.end(),
                     [&](const Sleeper& sleeper) { return sleeper.member == member; });
}

bool FaultEngine::WaitsForStop() const {
  return std::any_of(faults_.begin(), faults_.end(),
                     [](const Tracked& tracked) { return !tracked.armed.empty(); });
}

std::vector<std::string> FaultEngine::Unfired() const {
  std::vector<std::string> texts;
  for (const Tracked& tracked : faults_) {
    if (tracked.stage == Stage::kWaiting || tracked.stage == Stage::kDue) {
      texts.push_back(tracked.fault.text);
    }
  }
  return texts;
}

FaultActions FaultEngine::Advance(base::Time now) {
  FaultActions actions;
  for (Tracked& tracked : faults_) {
    const Trigger& trigger = tracked.fault.trigger;
    const bool by_step = trigger.step && committed_ && committed_->value >= trigger.step->value - 1;
    const bool by_time = trigger.time && now - start_ >= *trigger.time;
    if (tracked.stage == Stage::kWaiting && (by_step || by_time)) tracked.stage = Stage::kDue;
    if (tracked.stage == Stage::kDue) TryFire(now, tracked, actions);
  }
  std::erase_if(sleepers_, [&](const Sleeper& sleeper) {
    if (now < sleeper.wake) return false;
    actions.push_back(SignalPod{sleeper.member, SIGCONT});
    return true;
  });
  return actions;
}

std::vector<base::MemberId> FaultEngine::Targets(const Fault& fault) const {
  std::vector<base::MemberId> targets;
  for (const auto& [member, node] : pods_) {
    const bool hit = fault.target == TargetKind::kWorker
                         ? member.ordinal == fault.index
                         : node == "node-" + std::to_string(fault.index);
    if (hit) targets.push_back(member);
  }
  // An older incarnation may still sleep: the newest holds the ordinal.
  if (fault.target == TargetKind::kWorker && targets.size() > 1) targets = {targets.back()};
  return targets;
}

void FaultEngine::TryFire(base::Time now, Tracked& tracked, FaultActions& actions) {
  const Fault& fault = tracked.fault;
  if (fault.target == TargetKind::kJob || fault.target == TargetKind::kCoordinator) {
    Strike(now, tracked, {}, actions);
    return;
  }
  const std::vector<base::MemberId> targets = Targets(fault);
  if (targets.empty()) return;
  if (!fault.phase) {
    Strike(now, tracked, targets, actions);
    return;
  }
  for (base::MemberId member : targets) {
    if (!tracked.armed.insert(member).second) continue;
    actions.push_back(ArmBreak{member, *fault.phase, fault.trigger.step.value_or(base::Step(0))});
  }
}

void FaultEngine::Strike(base::Time now, Tracked& tracked,
                         const std::vector<base::MemberId>& targets, FaultActions& actions) {
  const Fault& fault = tracked.fault;
  tracked.stage = Stage::kFired;
  switch (fault.kind) {
    case FaultKind::kKill:
      if (fault.target == TargetKind::kCoordinator) actions.push_back(KillCoordinator{});
      if (fault.target == TargetKind::kNode) {
        actions.push_back(KillNode{"node-" + std::to_string(fault.index)});
      }
      if (fault.target != TargetKind::kWorker) break;
      for (base::MemberId member : targets) actions.push_back(SignalPod{member, SIGKILL});
      break;
    case FaultKind::kStop:
      for (base::MemberId member : targets) {
        actions.push_back(SignalPod{member, SIGSTOP});
        if (fault.duration) sleepers_.push_back({member, now + *fault.duration});
      }
      break;
    case FaultKind::kTerm:
      for (base::MemberId member : targets) {
        actions.push_back(SignalPod{member, SIGTERM});
        // One that stopped itself for this fault has to wake to hear it.
        if (fault.phase) actions.push_back(SignalPod{member, SIGCONT});
      }
      break;
    case FaultKind::kScale:
      actions.push_back(SetReplicas{fault.replicas});
      break;
    case FaultKind::kJoin:
      actions.push_back(AddReplica{});
      break;
  }
  actions.push_back(Announce{fault.text, Describe(fault, targets)});
}

}  // namespace muster::local
