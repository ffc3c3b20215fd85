// How long to wait before the next attempt to connect (M11): from 20 ms doubling to 200 ms during
// the first ten seconds without a stream, then to one second, each between half and the whole of it
// by chance.
#pragma once

#include "operator/base/rng.h"
#include "operator/base/time.h"

namespace muster::rpc {

// `failures` in a row so far (0: the stream was just lost), `without` since there was a good
// stream.
base::Duration RetryDelay(int failures, base::Duration without, base::SplitMix* chance);

}  // namespace muster::rpc
