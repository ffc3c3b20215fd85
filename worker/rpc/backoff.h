// How long to wait before the next attempt to connect (M11): from 20 ms doubling to 200 ms during
// the first ten seconds without a stream, then to half a second, each between half and the whole of it
// by chance. With the attempt itself, which may take as long, that is a second: a new coordinator gives
// members no longer than that to return when the job's heartbeatTimeout is short (M1).
#pragma once

#include "operator/base/rng.h"
#include "operator/base/time.h"

namespace muster::rpc {

// `failures` in a row so far (0: the stream was just lost), `without` since there was a good
// stream.
base::Duration RetryDelay(int failures, base::Duration without, base::SplitMix* chance);

}  // namespace muster::rpc
