// One member's state to all others of a view, from device memory into device memory: what the state
// is goes around the ring, its vectors by NCCL. Every member of the view takes part, also those that
// have the state already: a broadcast is everybody's.
//
// Thread rule: that of the link and the ring.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "worker/comm/communicator.h"
#include "worker/comm/socket.h"
#include "worker/nccl/link.h"

namespace muster::nccl {

// What a receiver has to know; of the root.
struct StateOffer {
  base::Step step;
  std::uint64_t digest = 0;
  std::string header, beside;  // as comm::ServedState's
};

struct StateShare {
  std::int32_t root = 0;  // the same at all members
  bool is_root = false;
  StateOffer offer;                            // of the root
  std::vector<std::span<const std::byte>> in;  // of the root: where its state lies
  std::vector<std::span<std::byte>> out;       // void memory; of who needs no state it may be one
                                               // place for all vectors
  std::atomic<std::uint64_t>* progress = nullptr;
  std::function<void()>
      offered;  // called when all know the offer and no vector has come; may be null
};

// The root's offer; `out` holds its vectors then. Errors as Link::AllReduce's, and DataLoss when the
// root's vectors are not as long as this member's.
absl::StatusOr<StateOffer> ShareState(Link& link, comm::Communicator& ring,
                                      const comm::AbortFlag& flag, const StateShare& share);

}  // namespace muster::nccl
