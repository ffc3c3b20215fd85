// The owner thread: waits for a reason to step the machine, and obeys it.
//
// No lock is held in a call of NcclApi or of the caller's functions: Abort has to return at once
// whatever the owner is doing.
#include <algorithm>
#include <iterator>
#include <utility>

#include "operator/base/check.h"
#include "worker/nccl/communicator.h"

namespace muster::nccl {

void NcclCommunicator::RunOwner() {
  if (options_.bind_device) {
    if (auto bound = options_.bind_device(); !bound.ok()) {
      runtime::MutexLock lock(mutex_);
      lost_ = base::Annotate(bound, "the communicator has no device");
    }
  }
  while (auto event = NextEvent()) {
    Feed(*std::move(event));
    runtime::MutexLock lock(mutex_);
    const bool was_busy =
        std::exchange(busy_, !machine_.idle() && !std::holds_alternative<Lost>(machine_.state()));
    // Abort may have armed it when there was nothing to abort any more. A lost process keeps it.
    if (machine_.idle()) watchdog_.Disarm();
    // Not on each step: a caller who waits for a sum would be woken 20,000 times a second. Reports
    // notify by themselves, but for ReportQuiet, which comes with this change.
    if (busy_ != was_busy) changed_.NotifyAll();
  }
}

// Nothing when the owner has to end: asked to, and with no communicator left.
std::optional<MachineEvent> NcclCommunicator::NextEvent() {
  std::optional<InstallRequest> install;
  {
    runtime::MutexLock lock(mutex_);
    while (true) {
      const bool lives = !machine_.idle() && !std::holds_alternative<Lost>(machine_.state());
      if (lives && flag_->is_set()) return Tick{};
      if (stop_ && !lives) return std::nullopt;
      if (!lives && install_) break;
      if (auto request = TakeRequest()) return request;
      if (!wake_) {
        changed_.Wait(mutex_);
      } else if (comm::Now() < *wake_) {
        changed_.WaitUntil(mutex_, *wake_);
      } else {
        wake_.reset();
        return Tick{};
      }
    }
    install = std::exchange(install_, std::nullopt);
    flag_ = current_flag_;
    busy_ = true;
  }
  wake_.reset();
  return Greet(*std::move(install));
}

std::optional<MachineEvent> NcclCommunicator::TakeRequest() {
  if (!given_.empty()) {
    groups_.push_back(std::move(given_.front()));
    given_.pop_front();
    const Group& group = groups_.back();
    if (!group.first) {
      reducing_bytes_ += group.passes * group.bytes;
      return Continue{group.sequence, group.last};
    }
    // What is left of one before it failed with it.
    groups_.erase(groups_.begin(), std::prev(groups_.end()));
    reducing_bytes_ = groups_.front().passes * groups_.front().bytes;
    return Reduce{groups_.front().sequence, comm::Now() + options_.step, groups_.front().last};
  }
  if (std::exchange(close_, false)) return Close{};
  return std::nullopt;
}

std::optional<MachineEvent> NcclCommunicator::Greet(InstallRequest request) {
  absl::Status status;
  {
    runtime::MutexLock lock(mutex_);
    status = lost_;
  }
  if (status.ok() && flag_->is_set()) status = base::Aborted("the communicator was aborted");
  if (status.ok() && request.greet) status = request.greet(*flag_);
  if (status.ok()) {
    config_ = request.config;
    return Install{request.attempt, request.config};
  }
  Obey(ReportInstallFailed{request.attempt, status});
  return Tick{};  // changes nothing in an idle machine; the loop goes on
}

void NcclCommunicator::Feed(MachineEvent event) {
  std::optional<MachineEvent> next = std::move(event);
  while (next) {
    const Commands commands = machine_.Step(comm::Now(), *next);
    next.reset();
    for (const Command& command : commands) {
      MUSTER_CHECK(!next, "a command behind one that waits for its answer");
      next = std::visit([this](const auto& c) { return Obey(c); }, command);
    }
  }
}

std::optional<MachineEvent> NcclCommunicator::Obey(const InitRank& c) {
  initialising_ = true;
  InitBegun answer;
  answer.result = options_.api->InitRankNonBlocking(c.config, &comm_);
  answer.has_handle = static_cast<bool>(comm_);
  return answer;
}

std::optional<MachineEvent> NcclCommunicator::Obey(const AskAsync&) {
  return AsyncRead{options_.api->AsyncError(comm_)};
}

std::optional<MachineEvent> NcclCommunicator::Obey(const AskEvent&) {
  return EventRead{options_.api->QueryEvent(options_.done)};
}

std::optional<MachineEvent> NcclCommunicator::Obey(const ReadFlag&) {
  return FlagRead{flag_->is_set()};
}

std::optional<MachineEvent> NcclCommunicator::Obey(const LaunchGroup&) {
  MUSTER_CHECK(!groups_.empty(), "a group to launch that nobody gave");
  const Group group = std::move(groups_.front());
  groups_.pop_front();
  launched_on_ = group.stream;
  Launched answer;
  if (group.ready) answer.result = options_.api->StreamWait(group.stream, group.ready);
  if (answer.result.ok()) answer.result = options_.api->GroupStart();
  if (!answer.result.ok()) return answer;
  for (const Piece& piece : group.pieces) {
    answer.result = piece.root == Piece::kNoRoot
                        ? options_.api->AllReduce(comm_, group.stream, piece)
                        : options_.api->Broadcast(comm_, group.stream, piece);
    if (!answer.result.ok() && answer.result.code != Code::kInProgress) break;
  }
  // Ended in any case: NCCL counts its groups by thread, and an open one would swallow what follows.
  const Result end = options_.api->GroupEnd();
  if (answer.result.ok() || answer.result.code == Code::kInProgress) answer.result = end;
  return answer;
}

std::optional<MachineEvent> NcclCommunicator::Obey(const RecordDone&) {
  return Recorded{options_.api->RecordEvent(options_.done, launched_on_)};
}

std::optional<MachineEvent> NcclCommunicator::Obey(const AbortComm&) {
  return AbortDone{options_.api->Abort(std::exchange(comm_, CommHandle{}))};
}

std::optional<MachineEvent> NcclCommunicator::Obey(const Synchronise&) {
  // An old error, of an allocation that failed for one, says nothing of the device. A broken
  // context gives its own again.
  (void)options_.api->LastDeviceError();
  Result result = options_.api->DeviceSynchronise();
  if (result.ok()) result = options_.api->LastDeviceError();
  return Synchronised{std::move(result)};
}

std::optional<MachineEvent> NcclCommunicator::Obey(const FinalizeComm&) {
  return FinalizeBegun{options_.api->Finalize(comm_)};
}

std::optional<MachineEvent> NcclCommunicator::Obey(const DestroyComm&) {
  return Destroyed{options_.api->Destroy(std::exchange(comm_, CommHandle{}))};
}

std::optional<MachineEvent> NcclCommunicator::Obey(const RaiseFlag&) {
  // Not the current one, which may be that of an install that waits.
  flag_->Set();
  return std::nullopt;
}

std::optional<MachineEvent> NcclCommunicator::Obey(const ArmWatchdog& c) {
  watchdog_.Arm(c.deadline, c.sentence);
  return std::nullopt;
}

std::optional<MachineEvent> NcclCommunicator::Obey(const DisarmWatchdog&) {
  watchdog_.Disarm();
  return std::nullopt;
}

std::optional<MachineEvent> NcclCommunicator::Obey(const WaitUntil& c) {
  wake_ = c.time;
  return std::nullopt;
}

std::optional<MachineEvent> NcclCommunicator::Obey(const ReportInstalled& c) {
  initialising_ = false;
  runtime::MutexLock lock(mutex_);
  if (c.attempt == minted_ && config_.rank == 0) --rebuilds_.unused_ids;
  if (c.attempt != current_) return std::nullopt;
  up_ = true;
  installed_ = absl::OkStatus();
  changed_.NotifyAll();
  return std::nullopt;
}

std::optional<MachineEvent> NcclCommunicator::Obey(const ReportInstallFailed& c) {
  runtime::MutexLock lock(mutex_);
  if (std::exchange(initialising_, false)) ++rebuilds_.failed_inits;
  if (c.attempt != current_) return std::nullopt;
  installed_ = c.status;
  changed_.NotifyAll();
  return std::nullopt;
}

void NcclCommunicator::EndReduction(std::uint64_t sequence, const absl::Status& status) {
  // One that Poll has given up, or a later install has ended, is nobody's any more.
  if (in_flight_ != sequence) return;
  reduced_ = status;
  changed_.NotifyAll();
}

std::optional<MachineEvent> NcclCommunicator::Obey(const ReportCommitted& c) {
  runtime::MutexLock lock(mutex_);
  bytes_sent_ += (config_.size - 1) * reducing_bytes_ / config_.size;
  EndReduction(c.sequence, absl::OkStatus());
  return std::nullopt;
}

std::optional<MachineEvent> NcclCommunicator::Obey(const ReportReductionFailed& c) {
  runtime::MutexLock lock(mutex_);
  EndReduction(c.sequence, c.status);
  return std::nullopt;
}

std::optional<MachineEvent> NcclCommunicator::Obey(const ReportQuiet& c) {
  runtime::MutexLock lock(mutex_);
  lost_.Update(c.status);  // what is lost stays so
  return std::nullopt;
}

}  // namespace muster::nccl
