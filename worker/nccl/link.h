// NCCL beside a communicator of the host: that one (the TCP ring) has greeted the neighbours, carries
// the unique id and all small vectors, and names who broke; NCCL carries the sums.
//
// The id travels on the ring and not over the coordinator's stream: the ring of a view is there
// before NCCL is entered in any case (M7), reaches exactly the view's members, and lets a view be
// built while the coordinator is busy or gone. Each view has one attempt: a failed one is told to the
// coordinator, whose next view has another epoch, and so another id.
//
// Thread rule: one thread; Abort by any.
#pragma once

#include <atomic>
#include <memory>
#include <span>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "worker/comm/communicator.h"
#include "worker/comm/socket.h"
#include "worker/nccl/communicator.h"

namespace muster::nccl {

struct Place {
  base::Epoch epoch;
  std::int32_t rank = 0;
  std::int32_t size = 1;
};

class Link final {
 public:
  explicit Link(std::unique_ptr<NcclCommunicator> communicator)
      : communicator_(std::move(communicator)) {}

  // Ends what lives, takes rank 0's id through `ring`, and builds the communicator. Blocking, bounded
  // by the communicator's own limits. Aborted: the flag was set or Abort was called. Unavailable: a
  // peer or NCCL failed, and a later epoch may fare better. Others: the process has to end.
  absl::Status Install(comm::Communicator& ring, const comm::AbortFlag& flag, const Place& place);

  // Sums of the device's memory; returns when it is over. Errors as Communicator::Poll's.
  absl::Status AllReduce(const comm::Reduction& reduction, const comm::AbortFlag& flag);

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

  std::int64_t bytes_sent() const { return communicator_->bytes_sent(); }
  Rebuilds rebuilds() const { return communicator_->rebuilds(); }

 private:
  absl::Status Finish(const comm::AbortFlag& flag);
  absl::StatusOr<UniqueId> ShareId(comm::Communicator& ring, const Attempt& attempt,
                                   std::int32_t rank);

  const std::unique_ptr<NcclCommunicator> communicator_;
};

}  // namespace muster::nccl
