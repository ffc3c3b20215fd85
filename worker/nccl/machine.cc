// The way to a sum: install, launch, look, commit. How it ends otherwise is in machine_end.cc.
#include "worker/nccl/machine.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "operator/base/check.h"

namespace muster::nccl {
namespace {

// 32 KiB. A caller that forgets to mint comes with the id before, and one that mixes up attempts of
// an epoch with one of the last few; older ones are not looked for.
constexpr std::size_t kIdsKept = 256;
constexpr const char* kUnasked = "an answer of the owner that the machine did not ask for";

}  // namespace

std::string ToString(const Attempt& attempt) {
  return "epoch " + std::to_string(attempt.epoch.value) + " attempt " +
         std::to_string(attempt.number);
}

Commands Machine::Step(base::Time now, const MachineEvent& event) {
  return std::visit([&](const auto& e) { return On(now, e); }, event);
}

absl::Status Machine::Refusal(const Install& e) const {
  const auto* lost = std::get_if<Lost>(&state_);
  if (lost != nullptr) return base::Internal("this process has to end: " + lost->why);
  if (!idle()) {
    return base::FailedPrecondition("the communicator of " + ToString(attempt_) +
                                    " is not gone yet");
  }
  if (e.attempt <= attempt_) {
    return base::InvalidArgument(ToString(e.attempt) + " does not come after " +
                                 ToString(attempt_));
  }
  if (e.attempt.number < 1 || e.attempt.number > limits_.attempts) {
    return base::ResourceExhausted(ToString(e.attempt) + " is not one of the " +
                                   std::to_string(limits_.attempts) + " attempts of an epoch");
  }
  if (std::find(ids_.begin(), ids_.end(), e.config.id) != ids_.end()) {
    return base::InvalidArgument(ToString(e.attempt) + " comes with the id of an earlier attempt");
  }
  return absl::OkStatus();
}

Commands Machine::On(base::Time now, const Install& e) {
  if (auto refusal = Refusal(e); !refusal.ok()) {
    return {ReportInstallFailed{e.attempt, std::move(refusal)}};
  }
  attempt_ = e.attempt;
  if (ids_.size() == kIdsKept) ids_.erase(ids_.begin());
  ids_.push_back(e.config.id);
  state_ = Installing{now + limits_.init};
  return {InitRank{e.attempt, e.config}};
}

Commands Machine::On(base::Time now, const InitBegun& e) {
  auto* s = std::get_if<Installing>(&state_);
  MUSTER_CHECK(s != nullptr && !s->begun, kUnasked);
  s->begun = true;
  if (e.result.ok() || e.result.code == Code::kInProgress) return On(now, Tick{});
  const absl::Status status = ToStatus(e.result, "ncclCommInitRankConfig");
  if (e.has_handle) return Fail(now, status);
  // Nothing was made, so there is nothing to abort; the flag still says that this attempt is over.
  state_ = Idle{};
  return {RaiseFlag{}, ReportInstallFailed{attempt_, status}, ReportQuiet{absl::OkStatus()}};
}

Commands Machine::On(base::Time, const Reduce& e) {
  if (!std::holds_alternative<Installed>(state_)) {
    return {ReportReductionFailed{e.sequence, base::Aborted("there is no communicator")}};
  }
  return Enqueue(e.sequence, e.deadline, e.whole);
}

// The flag is read before each launch.
Commands Machine::Enqueue(std::uint64_t sequence, base::Time deadline, bool whole) {
  Enqueueing next;
  next.sequence = sequence;
  next.deadline = deadline;
  next.whole = whole;
  next.round.stage = Round::Stage::kFlag;
  state_ = next;
  return {ReadFlag{}};
}

Commands Machine::On(base::Time, const Continue& e) {
  if (auto* s = std::get_if<Enqueueing>(&state_); s != nullptr && s->sequence == e.sequence) {
    MUSTER_CHECK(!s->whole, "a group behind the last one of its reduction");
    ++s->waiting;
    s->whole = e.last;
    return {};
  }
  if (const auto* s = std::get_if<Gathering>(&state_); s != nullptr && s->sequence == e.sequence) {
    MUSTER_CHECK(s->round.stage == Round::Stage::kResting, "a group in the middle of a round");
    return Enqueue(s->sequence, s->deadline, e.last);
  }
  return {};
}

Commands Machine::On(base::Time now, const Launched& e) {
  auto* s = std::get_if<Enqueueing>(&state_);
  MUSTER_CHECK(s != nullptr && !s->launched, kUnasked);
  s->launched = true;
  if (!e.result.ok() && e.result.code != Code::kInProgress) {
    return Fail(now, ToStatus(e.result, "the group of all-reduces"));
  }
  // Even a success is looked up: AsyncError is what says that the kernels are on the stream.
  return On(now, Tick{});
}

Commands Machine::On(base::Time now, const Recorded& e) {
  auto* s = std::get_if<Running>(&state_);
  MUSTER_CHECK(s != nullptr && !s->recorded, kUnasked);
  s->recorded = true;
  if (!e.result.ok()) return Fail(now, ToStatus(e.result, "cudaEventRecord"));
  return On(now, Tick{});
}

Round* Machine::round() {
  return std::visit(
      [](auto& s) -> Round* {
        if constexpr (requires { s.round; }) return &s.round;
        return nullptr;
      },
      state_);
}

Commands Machine::On(base::Time, const Tick&) {
  using Stage = Round::Stage;
  if (auto* installed = std::get_if<Installed>(&state_)) {
    if (std::exchange(installed->reading, true)) return {};
    return {ReadFlag{}};
  }
  Round* r = round();
  if (r == nullptr || r->stage != Stage::kResting) return {};
  *r = Round{};
  if (std::holds_alternative<Running>(state_)) {
    r->stage = Stage::kEvent;
    return {AskEvent{}};
  }
  r->stage = Stage::kAsync;
  return {AskAsync{}};
}

Commands Machine::On(base::Time, const EventRead& e) {
  Round* r = round();
  MUSTER_CHECK(r != nullptr && r->stage == Round::Stage::kEvent, kUnasked);
  r->event = e.state;
  r->stage = Round::Stage::kAsync;
  return {AskAsync{}};
}

Commands Machine::On(base::Time, const AsyncRead& e) {
  Round* r = round();
  MUSTER_CHECK(r != nullptr && r->stage == Round::Stage::kAsync, kUnasked);
  r->async = e.result;
  r->stage = Round::Stage::kFlag;
  return {ReadFlag{}};
}

Commands Machine::On(base::Time now, const FlagRead& e) {
  auto* installed = std::get_if<Installed>(&state_);
  Round* r = round();
  MUSTER_CHECK(installed != nullptr ? std::exchange(installed->reading, false)
                                    : r != nullptr && r->stage == Round::Stage::kFlag,
               kUnasked);
  if (r != nullptr) r->stage = Round::Stage::kResting;
  if (e.raised) return Fail(now, base::Aborted("the communicator was aborted"));
  return std::visit(
      [&](auto& s) -> Commands {
        if constexpr (requires { Conclude(now, s); }) return Conclude(now, s);
        return {};
      },
      state_);
}

Commands Machine::Conclude(base::Time now, Installing& s) {
  if (s.round.async.ok()) {
    state_ = Installed{};
    return {ReportInstalled{attempt_}};
  }
  if (s.round.async.code != Code::kInProgress) {
    return Fail(now, ToStatus(s.round.async, "building the communicator"));
  }
  if (now >= s.deadline) {
    return Fail(now, base::Unavailable("building the communicator took longer than " +
                                       std::to_string(base::ToSeconds(limits_.init)) + " s"));
  }
  return {WaitUntil{std::min(now + limits_.init_poll, s.deadline)}};
}

Commands Machine::Conclude(base::Time now, Enqueueing& s) {
  if (!s.launched) return {LaunchGroup{}};
  if (s.round.async.ok()) {
    if (s.waiting > 0) {
      --s.waiting;
      s.launched = false;
      return {LaunchGroup{}};  // the flag was read a moment ago
    }
    const std::uint64_t sequence = s.sequence;
    const base::Time deadline = s.deadline;
    if (s.whole) {
      state_ = Running{sequence, deadline};
      return {RecordDone{}};
    }
    state_ = Gathering{sequence, deadline};
    return Gather(now, deadline);
  }
  if (s.round.async.code != Code::kInProgress) {
    return Fail(now, ToStatus(s.round.async, "enqueueing the all-reduces"));
  }
  if (now >= s.deadline) {
    return Fail(now, base::Unavailable("the all-reduces were not enqueued by the step's deadline"));
  }
  return {WaitUntil{std::min(now + limits_.step_poll, s.deadline)}};
}

Commands Machine::Conclude(base::Time now, Gathering& s) {
  if (!s.round.async.ok()) return Fail(now, ToStatus(s.round.async, "the all-reduces"));
  return Gather(now, s.deadline);
}

Commands Machine::Gather(base::Time now, base::Time deadline) {
  if (now >= deadline) {
    return Fail(now, base::Unavailable("the sums were not complete by the step's deadline"));
  }
  return {WaitUntil{std::min(now + limits_.gather_poll, deadline)}};
}

Commands Machine::Conclude(base::Time now, Running& s) {
  if (s.round.event == EventState::kFailed) {
    return Fail(now, base::Internal("the device failed while it reduced"));
  }
  const bool healthy = s.round.async.ok();
  if (!healthy && s.round.async.code != Code::kInProgress) {
    return Fail(now, ToStatus(s.round.async, "the all-reduces"));
  }
  if (healthy && s.round.event == EventState::kDone) {
    const std::uint64_t sequence = s.sequence;
    state_ = Installed{};
    return {ReportCommitted{sequence}};
  }
  if (now >= s.deadline) {
    return Fail(now, base::Unavailable("the all-reduces did not end by the step's deadline"));
  }
  return {WaitUntil{std::min(now + limits_.step_poll, s.deadline)}};
}

}  // namespace muster::nccl
