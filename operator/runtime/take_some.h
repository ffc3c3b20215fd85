// What a thread with other duties takes from its queue in one go.
#pragma once

#include <optional>
#include <utility>

#include "operator/base/time.h"
#include "operator/runtime/bounded_queue.h"

namespace muster::runtime {

// Waits for the first until `deadline` (of RealClock), then calls `take` with what is there, in order
// and at most `most` times; the rest stays in the queue.
template <typename T, typename Take>
void TakeSome(BoundedQueue<T>& queue, base::Time deadline, int most, Take take) {
  std::optional<T> value = queue.PopUntil(deadline);
  for (int taken = 1; value; ++taken) {
    take(*std::move(value));
    value = taken < most ? queue.TryPop() : std::nullopt;
  }
}

}  // namespace muster::runtime
