// The seam between training and the network: begin, then poll; abort from any thread.
//
// One thread owns a communicator: it begins and polls, and is never blocked for longer than it
// asked to be. Reductions are out of place, so an abort leaves `in` whole (M4). Every call returns
// a Status; a result may be believed only when Poll returned OK.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::comm {

enum class ReduceOp { kSum, kMax };
enum class ElementType { kInt32, kInt64, kFloat32 };

// in.size() == out.size(), a multiple of the element size; every member passes the same op, type
// and size. Both buffers outlive the reduction. Integer sums wrap mod 2^n; the caller leaves
// headroom (E5).
struct Reduction {
  ReduceOp op = ReduceOp::kSum;
  ElementType type = ElementType::kInt64;
  std::span<const std::byte> in;
  std::span<std::byte> out;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  // FailedPrecondition while one is in flight, Aborted after an abort or a broken peer.
  virtual absl::Status BeginAllReduce(const Reduction& reduction) = 0;
  // Makes progress for at most `wait`; the final status when it is over, nullopt while it goes on.
  // Aborted: Abort() was called. Unavailable: a peer broke, the message names it.
  virtual std::optional<absl::Status> Poll(base::Duration wait) = 0;
  // From any thread, idempotent, returns at once; a Poll in progress returns within a millisecond.
  virtual void Abort() = 0;
  // Bytes sent for reductions so far, payload only (tests assert 2(n-1)/n of the sums).
  virtual std::int64_t bytes_sent() const = 0;
};

}  // namespace muster::comm
