// How a communicator ends: by a failure, by the flag, cleanly, or with its process.
#include <algorithm>
#include <utility>

#include "operator/base/check.h"
#include "worker/nccl/machine.h"

namespace muster::nccl {
namespace {

constexpr const char* kUnaskedEnd = "an end of the owner's that the machine did not ask for";

}  // namespace

// Flag first: from then on nobody believes a sum, and the abort below turns the kernels in flight
// into garbage that looks like success.
Commands Machine::Fail(base::Time now, const absl::Status& status) {
  Commands commands{RaiseFlag{}};
  if (std::holds_alternative<Installing>(state_)) {
    commands.push_back(ReportInstallFailed{attempt_, status});
  } else if (const auto* e = std::get_if<Enqueueing>(&state_)) {
    commands.push_back(ReportReductionFailed{e->sequence, status});
  } else if (const auto* g = std::get_if<Gathering>(&state_)) {
    commands.push_back(ReportReductionFailed{g->sequence, status});
  } else if (const auto* r = std::get_if<Running>(&state_)) {
    commands.push_back(ReportReductionFailed{r->sequence, status});
  }
  const base::Time deadline = now + limits_.abort;
  commands.push_back(ArmWatchdog{
      deadline, "the abort of the communicator of " + ToString(attempt_) + " did not end in time"});
  commands.push_back(AbortComm{});
  state_ = Aborting{deadline};
  return commands;
}

Commands Machine::Lose(std::string why) {
  absl::Status status = base::Internal("this process has to end: " + why);
  state_ = Lost{std::move(why)};
  return {ReportQuiet{std::move(status)}};
}

Commands Machine::On(base::Time, const AbortDone&) {
  // What Abort returns changes nothing: the handle is gone, and the device is asked next.
  auto* s = std::get_if<Aborting>(&state_);
  MUSTER_CHECK(s != nullptr, kUnaskedEnd);
  state_ = Synchronising{s->deadline};
  return {Synchronise{}};
}

Commands Machine::On(base::Time now, const Synchronised& e) {
  auto* s = std::get_if<Synchronising>(&state_);
  MUSTER_CHECK(s != nullptr, kUnaskedEnd);
  // Late: the watchdog has said that this process ends. Nothing may begin in it any more.
  if (now >= s->deadline) return Lose("the abort of " + ToString(attempt_) + " came too late");
  Commands commands{DisarmWatchdog{}};
  if (!e.result.ok()) {
    auto rest =
        Lose("the device is broken: " + base::Message(ToStatus(e.result, "after an abort")));
    commands.insert(commands.end(), rest.begin(), rest.end());
    return commands;
  }
  state_ = Idle{};
  commands.push_back(ReportQuiet{absl::OkStatus()});
  return commands;
}

Commands Machine::On(base::Time now, const Close&) {
  if (idle()) return {ReportQuiet{absl::OkStatus()}};
  if (std::holds_alternative<Installed>(state_)) {
    state_ = Finalising{now + limits_.finalize};
    return {FinalizeComm{}};
  }
  if (std::holds_alternative<Finalising>(state_)) return {};  // it is closing
  if (round() != nullptr) return Fail(now, base::Aborted("the communicator was closed"));
  return {};  // on its way to Idle already, or lost
}

Commands Machine::On(base::Time now, const FinalizeBegun& e) {
  auto* s = std::get_if<Finalising>(&state_);
  MUSTER_CHECK(s != nullptr && !s->begun, kUnaskedEnd);
  s->begun = true;
  if (!e.result.ok() && e.result.code != Code::kInProgress) {
    return Fail(now, ToStatus(e.result, "ncclCommFinalize"));
  }
  return On(now, Tick{});
}

Commands Machine::Conclude(base::Time now, Finalising& s) {
  if (s.round.async.ok()) {
    s.destroying = true;
    s.round.stage = Round::Stage::kFlag;  // no more rounds: the handle is about to go
    return {
        ArmWatchdog{s.deadline + limits_.abort, "the end of the communicator of " +
                                                    ToString(attempt_) + " did not come in time"},
        DestroyComm{}};
  }
  if (s.round.async.code != Code::kInProgress) {
    return Fail(now, ToStatus(s.round.async, "ncclCommFinalize"));
  }
  if (now >= s.deadline) {
    return Fail(now, base::Unavailable("the clean end of the communicator took too long"));
  }
  return {WaitUntil{std::min(now + limits_.init_poll, s.deadline)}};
}

Commands Machine::On(base::Time, const Destroyed&) {
  auto* s = std::get_if<Finalising>(&state_);
  MUSTER_CHECK(s != nullptr && s->destroying, kUnaskedEnd);
  // As after an abort: buffers are free when the device says so.
  state_ = Synchronising{s->deadline + limits_.abort};
  return {Synchronise{}};
}

}  // namespace muster::nccl
