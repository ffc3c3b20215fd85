// The connections of a ring: data to the next member, data from the previous one, and a control one
// to each, on which goodbye can be said even when data is stuck in mid-message. Private to this
// folder.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/comm/channel.h"
#include "worker/comm/ring.h"

namespace muster::comm {

struct RingLinks {
  Channel to_next;
  Channel from_previous;
  Channel next_control;
  Channel previous_control;
};

struct LinkResult {
  absl::Status status;
  RingLinks links;
  std::vector<base::MemberId> unreachable;
};

// Greets both neighbours; more than one peer. The listener's registrations are gone when it
// returns.
LinkResult ConnectLinks(const RingOptions& options, const AbortFlag& abort);

}  // namespace muster::comm
