// The TCP ring: reduce-scatter and all-gather between neighbours, reducing while it receives.
//
//   rank r sends to r+1 and receives from r-1 (mod n). Each reduction cuts the buffer into n
//   segments and each segment into pieces: a piece is forwarded as soon as it is reduced. 2(n-1)/n
//   of the buffer is sent by each rank. `in` is only ever read (M4).
//
// Promises that a plain collective library did not keep (docs/decisions): an abort from another
// thread ends Poll in well below a millisecond; a peer that dies in mid-message is reported at
// once, by rank and member; an aborting member says goodbye first, and its neighbours end with
// Aborted instead of evidence (M3); frames carry epoch and sequence, so a stale or mismatched
// reduction is an error and not a sum.
//
// Thread rule: Connect, BeginAllReduce and Poll by one thread; Abort by any.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "operator/base/time.h"
#include "worker/comm/communicator.h"
#include "worker/comm/listener.h"
#include "worker/comm/socket.h"

namespace muster::comm {

struct RingPeer {
  base::MemberId member;
  std::string address;  // host:port of its DataListener
};

struct RingOptions {
  DataListener* listener = nullptr;  // gives job uid and token; outlives the ring
  base::Epoch epoch;
  std::int32_t rank = 0;
  std::vector<RingPeer> peers;  // by rank, this member included
  base::Time deadline;          // for connecting, on runtime::RealClock's axis
  std::size_t piece_bytes = std::size_t{256} << 10;
  int socket_buffer_bytes = 0;  // 0: the system's own sizing
  base::Duration link_silence = kLinkSilence;
  // Makes Connect end with Aborted, and afterwards is the ring's own flag. Made by Connect when
  // null.
  std::shared_ptr<AbortFlag> abort;
};

class Ring final : public Communicator {
 public:
  struct Connected {
    absl::Status status;  // OK: `ring` is set
    std::unique_ptr<Ring> ring;
    std::vector<base::MemberId>
        unreachable;  // M7: whom it could not reach, when the status is not OK
  };
  // Greets both neighbours under the deadline (M7). Retries a neighbour whose listener is not up
  // yet. Aborted when the flag was set; DeadlineExceeded or Unavailable otherwise, naming the
  // peers.
  static Connected Connect(RingOptions options);
  ~Ring() override;

  absl::Status BeginAllReduce(const Reduction& reduction) override;
  std::optional<absl::Status> Poll(base::Duration wait) override;
  void Abort() override;
  std::int64_t bytes_sent() const override;

  // Whose break ended the last reduction: evidence for the coordinator (M3).
  std::optional<base::MemberId> broken_peer() const;

 private:
  struct State;
  explicit Ring(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace muster::comm
