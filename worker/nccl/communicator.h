// The communicator over NCCL: one object a process, one NCCL communicator an epoch and attempt.
//
//   caller (one thread)     Mint, BeginInstall, PollInstall, BeginAllReduce, BeginGroup,
//                           BeginBroadcast, Poll, AwaitQuiet, BeginClose
//   another, one at a time  BeginReduction, GiveGroup
//   any thread              Abort, bytes_sent, rebuilds
//   owner thread (ours)     steps the machine (machine.h) and makes every call of NcclApi but Mint's
//   watchdog thread (ours)  ends the process when an abort takes longer than Limits::abort
//
// Requests to the owner: at most one install, one close and kMostGroups groups of one reduction stand
// there; a second install replaces the first, a second reduction or one group more is refused.
//
// An abort is felt at once (Poll, PollInstall), but NCCL needs up to a second to obey it. Until
// AwaitQuiet says OK its kernels may still read `in` and write into `out`: nobody may write to the
// first or trust the second. `in` itself is never written to (M4).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "operator/base/status.h"
#include "operator/base/time.h"
#include "operator/runtime/mutex.h"
#include "worker/comm/communicator.h"
#include "worker/comm/socket.h"
#include "worker/nccl/buckets.h"
#include "worker/nccl/leaks.h"
#include "worker/nccl/machine.h"
#include "worker/nccl/nccl_api.h"
#include "worker/nccl/watchdog.h"

namespace muster::nccl {

struct NcclOptions {
  NcclApi* api = nullptr;  // outlives the communicator
  Stream stream;           // of sums
  Stream copies;           // of broadcasts; null: `stream`
  Event done;              // recorded behind each group
  Limits limits;
  BucketRules buckets;
  base::Duration step = std::chrono::minutes(10);  // of a reduction; the stall rule (M3) is sooner
  // On the owner thread before anything else: makes its device current. May be empty.
  std::function<absl::Status()> bind_device;
  // See Watchdog; has to end the process.
  Watchdog::Expired expired;
};

struct InstallRequest {
  Attempt attempt;
  InitConfig config;  // the id that rank 0 minted for this attempt, as the caller brought it here
  // Greets the neighbours over plain sockets before anybody enters NCCL (M7): its errors name no
  // peer, so evidence has to come from here. On the owner thread; returns soon after the flag is
  // set. A failure is the install's, and NCCL is not called. Empty: they are greeted already.
  std::function<absl::Status(const comm::AbortFlag&)> greet;
};

class NcclCommunicator final : public comm::Communicator {
 public:
  static absl::StatusOr<std::unique_ptr<NcclCommunicator>> Create(NcclOptions options);
  // Aborts what lives and waits for it, with the watchdog behind.
  ~NcclCommunicator() override;

  // The id of an attempt, for the view's rank 0 to hand to the others. FailedPrecondition while a
  // communicator lives, and for an attempt that has its id; ResourceExhausted past the attempts.
  absl::StatusOr<UniqueId> Mint(const Attempt& attempt);

  // Aborts what lives, then builds the communicator of a later attempt. InvalidArgument for one that
  // is not later, Aborted for an epoch in which Abort was called: an interrupted view is over.
  absl::Status BeginInstall(InstallRequest request);
  // As Poll, for the install. Aborted: Abort was called. Unavailable: the next attempt may succeed.
  std::optional<absl::Status> PollInstall(base::Duration wait);

  absl::Status BeginAllReduce(const comm::Reduction& reduction) override;
  // All vectors in one group; one Poll for all of them.
  absl::Status BeginGroup(std::span<const SumVector> vectors);

  // A reduction whose groups are given one after the other, each as soon as its input is launched: the
  // first are on their way while the rest is computed. All members give the same groups in the same
  // order, at whatever time. It counts as a whole: one Poll, which anybody may call who knows that it
  // was begun. Aborted: there is no communicator of this epoch. The result names it below.
  absl::StatusOr<std::uint64_t> BeginReduction(base::Epoch epoch);
  // `ready`: the input is complete when this event is done; without one it is complete. Aborted: the
  // reduction has failed, and Poll tells why. ResourceExhausted: too many groups wait.
  absl::Status GiveGroup(std::uint64_t reduction, std::span<const SumVector> vectors, Event ready,
                         bool last);
  static constexpr std::size_t kMostGroups = 64;

  // What `root` has in `words` of 4 bytes at `in` is at everybody's `out`, once Poll says OK. `in` is
  // read at the root alone, and written to nowhere. For the rest it is a reduction, of one group: not
  // to be begun while another is in flight.
  absl::Status BeginBroadcast(std::int32_t root, const void* in, void* out, std::size_t words);
  std::optional<absl::Status> Poll(base::Duration wait) override;
  void Abort() override;

  // OK when nothing of ours runs on the device any more; nullopt while it may. Another status: the
  // process has to end. Asked with a communicator up it waits in vain: abort or close first.
  std::optional<absl::Status> AwaitQuiet(base::Duration wait);
  // Ends the communicator cleanly, together with all other members. AwaitQuiet tells when.
  void BeginClose();

  // By the ring's formula, 2(n-1)/n of what was summed and (n-1)/n of what was broadcast; NCCL does
  // not tell what it sent.
  std::int64_t bytes_sent() const override;
  Rebuilds rebuilds() const;

 private:
  struct Group {
    std::uint64_t sequence = 0;  // of its reduction
    std::vector<Piece> pieces;
    Stream stream;
    std::int64_t bytes = 0;
    std::int64_t passes = 2;  // how often a ring sends each byte
    Event ready;
    bool first = false, last = false;
  };
  absl::StatusOr<Group> MakeGroup(std::span<const SumVector> vectors) const;
  explicit NcclCommunicator(NcclOptions options);

  absl::Status CheckMayReduce() MUSTER_REQUIRES(mutex_);
  // A reduction of this group alone.
  absl::Status BeginWith(Group group);
  void BeginLocked() MUSTER_REQUIRES(mutex_);
  absl::Status GiveLocked(Group group, bool last) MUSTER_REQUIRES(mutex_);
  bool WaitForChange(base::Time until) MUSTER_REQUIRES(mutex_);
  void RaiseCurrentFlag(const std::string& why) MUSTER_REQUIRES(mutex_);

  // Owner thread (communicator_owner.cc).
  void RunOwner();
  std::optional<MachineEvent> NextEvent();
  std::optional<MachineEvent> TakeRequest() MUSTER_REQUIRES(mutex_);
  std::optional<MachineEvent> Greet(InstallRequest request);
  void Feed(MachineEvent event);
  std::optional<MachineEvent> Obey(const InitRank& c);
  std::optional<MachineEvent> Obey(const AskAsync& c);
  std::optional<MachineEvent> Obey(const AskEvent& c);
  std::optional<MachineEvent> Obey(const ReadFlag& c);
  std::optional<MachineEvent> Obey(const LaunchGroup& c);
  std::optional<MachineEvent> Obey(const RecordDone& c);
  std::optional<MachineEvent> Obey(const AbortComm& c);
  std::optional<MachineEvent> Obey(const Synchronise& c);
  std::optional<MachineEvent> Obey(const FinalizeComm& c);
  std::optional<MachineEvent> Obey(const DestroyComm& c);
  std::optional<MachineEvent> Obey(const RaiseFlag& c);
  std::optional<MachineEvent> Obey(const ArmWatchdog& c);
  std::optional<MachineEvent> Obey(const DisarmWatchdog& c);
  std::optional<MachineEvent> Obey(const WaitUntil& c);
  std::optional<MachineEvent> Obey(const ReportInstalled& c);
  std::optional<MachineEvent> Obey(const ReportInstallFailed& c);
  std::optional<MachineEvent> Obey(const ReportCommitted& c);
  std::optional<MachineEvent> Obey(const ReportReductionFailed& c);
  std::optional<MachineEvent> Obey(const ReportQuiet& c);
  void EndReduction(std::uint64_t sequence, const absl::Status& status) MUSTER_REQUIRES(mutex_);

  const NcclOptions options_;
  Watchdog watchdog_;

  // The owner's alone.
  Machine machine_;
  CommHandle comm_;
  std::deque<Group> groups_;               // taken and not launched, of the reduction in progress
  std::int64_t reducing_bytes_ = 0;        // of all its groups, each as often as a ring sends it
  Stream launched_on_;                     // of the last group
  std::shared_ptr<comm::AbortFlag> flag_;  // of the machine's attempt
  InitConfig config_;                      // of it
  bool initialising_ = false;
  std::optional<base::Time> wake_;

  mutable runtime::Mutex mutex_;
  runtime::Condition changed_;
  // Caller to owner.
  std::optional<InstallRequest> install_ MUSTER_GUARDED_BY(mutex_);
  std::deque<Group> given_ MUSTER_GUARDED_BY(mutex_);
  bool close_ MUSTER_GUARDED_BY(mutex_) = false;
  bool stop_ MUSTER_GUARDED_BY(mutex_) = false;
  // The newest attempt that was asked for, and its flag: a new one for each, never cleared.
  Attempt current_ MUSTER_GUARDED_BY(mutex_);
  std::shared_ptr<comm::AbortFlag> current_flag_ MUSTER_GUARDED_BY(mutex_);
  bool interrupted_ MUSTER_GUARDED_BY(mutex_) = false;  // ... was raised by the caller
  base::Epoch aborted_ MUSTER_GUARDED_BY(mutex_);
  Attempt minted_ MUSTER_GUARDED_BY(mutex_);
  // Owner to caller.
  bool busy_ MUSTER_GUARDED_BY(mutex_) = false;  // the machine is neither idle nor lost
  bool up_ MUSTER_GUARDED_BY(mutex_) = false;    // current_ is installed
  bool installing_ MUSTER_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> installed_ MUSTER_GUARDED_BY(mutex_);
  std::optional<std::uint64_t> in_flight_ MUSTER_GUARDED_BY(mutex_);
  bool given_any_ MUSTER_GUARDED_BY(mutex_) = false;  // a group of in_flight_
  bool given_all_ MUSTER_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> reduced_ MUSTER_GUARDED_BY(mutex_);
  absl::Status lost_ MUSTER_GUARDED_BY(mutex_);
  std::uint64_t sequence_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::int64_t bytes_sent_ MUSTER_GUARDED_BY(mutex_) = 0;
  Rebuilds rebuilds_ MUSTER_GUARDED_BY(mutex_);

  std::jthread owner_;  // last: it uses everything above
};

}  // namespace muster::nccl
