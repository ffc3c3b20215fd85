// NCCL beside a communicator of the host: that one (the TCP ring) has greeted the neighbours, carries
// the unique id and all small vectors, and names who broke; NCCL carries the sums.
//
// The id travels on the ring and not over the coordinator's stream: the ring of a view is there
// before NCCL is entered in any case (M7), reaches exactly the view's members, and lets a view be
// built while the coordinator is busy or gone. Each view has one attempt: a failed one is told to the
// coordinator, whose next view has another epoch, and so another id.
//
// Sums may be begun ahead of the call that asks for them, part by part while the rest is computed. It
// changes nothing that goes over the network: all members reduce the same parts in the same order,
// whoever of them began ahead.
//
// A broadcast must not meet sums that were begun ahead: it is refused while they are in flight. Members
// share a state before the first reduction of a view, and begin ahead behind that one alone.
//
// Thread rule: one thread; BeginAhead and GiveAhead by another, which is done before AllReduce asks for
// the same sums; Abort by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "operator/runtime/mutex.h"
#include "worker/comm/communicator.h"
#include "worker/comm/socket.h"
#include "worker/nccl/communicator.h"

namespace muster::nccl {

struct Place {
  base::Epoch epoch;
  std::int32_t rank = 0;
  std::int32_t size = 1;
  // Grows while NCCL's init runs, which has its own limit; may be null.
  std::atomic<std::uint64_t>* progress = nullptr;
};

// Which sums: those of a step's attempt in a view.
struct SumsOf {
  base::Epoch epoch;
  base::Step step;
  std::int32_t attempt = 0;
  friend bool operator==(const SumsOf&, const SumsOf&) = default;
};

class Link final {
 public:
  explicit Link(std::unique_ptr<NcclCommunicator> communicator)
      : communicator_(std::move(communicator)) {}

  // Ends what lives, takes rank 0's id through `ring`, and builds the communicator. Blocking, bounded
  // by the communicator's own limits. Aborted: the flag was set or Abort was called. Unavailable: a
  // peer or NCCL failed, and a later epoch may fare better. Others: the process has to end.
  absl::Status Install(comm::Communicator& ring, const comm::AbortFlag& flag, const Place& place);

  // False: there is no communicator of that epoch, and AllReduce does all of it.
  bool BeginAhead(const SumsOf& of);
  // The next part; it is complete when `ready` is done. What goes wrong is AllReduce's to tell.
  void GiveAhead(const comm::Reduction& part, Event ready, bool last);

  // Sums of the device's memory, all parts of them; those that were begun ahead are on their way.
  // Returns when it is over. Errors as Communicator::Poll's, or Internal when other sums of this epoch
  // were begun ahead.
  absl::Status AllReduce(const SumsOf& of, std::span<const comm::Reduction> parts,
                         const comm::AbortFlag& flag);

  // What the view's member of rank `root` has at `in` to everybody's `out`, as AllReduce; in steps of
  // kBroadcastBytes, after each of which `progress` (may be null) counts up.
  absl::Status Broadcast(std::int32_t root, std::span<const std::byte> in, std::span<std::byte> out,
                         const comm::AbortFlag& flag, std::atomic<std::uint64_t>* progress);
  static constexpr std::size_t kBroadcastBytes = std::size_t{64} << 20;

  // What runs is given up as soon as NCCL can; a call in progress returns at once.
  void Abort() { communicator_->Abort(); }
  // Aborts, and waits until nothing of it runs on the device: before that an output may still be
  // written into. An error: the process has to end.
  absl::Status AbortAndAwaitQuiet();

  // By the ring's formula, of what AllReduce and Broadcast have returned: sums begun ahead may be over
  // before anybody asks for them, or nobody asks.
  std::int64_t bytes_sent() const;
  Rebuilds rebuilds() const { return communicator_->rebuilds(); }

 private:
  absl::Status GiveAll(const SumsOf& of, std::span<const comm::Reduction> parts);
  // What was begun, to its end.
  absl::Status Finish(const comm::AbortFlag& flag);
  // By a ring that sends each byte so often.
  void CountSent(std::int64_t passes, std::size_t bytes);
  absl::StatusOr<UniqueId> ShareId(comm::Communicator& ring, const Attempt& attempt,
                                   std::int32_t rank);

  struct Ahead {
    SumsOf of;
    std::uint64_t reduction = 0;
    std::size_t parts = 0;  // that were given
    absl::Status status;
  };

  const std::unique_ptr<NcclCommunicator> communicator_;
  std::int32_t size_ = 1;  // of the view; the thread's alone
  mutable runtime::Mutex mutex_;
  std::int64_t bytes_sent_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::optional<Ahead> ahead_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::nccl
