// Keys that have to be worked on, handed to several workers: no key to two at once, none lost.
//
// Safe from every thread. The invariants are KeyedQueue's (keyed_queue.h). It is bounded by the
// number of different keys: adding one that waits already changes nothing, so nobody who adds ever
// waits and nothing is dropped.
//
// Two ways to end:
//   ShutDown  Take gives nothing from now on, though keys may be queued: whoever comes next begins
//             with a full list. What a loss of the lease wants.
//   Drain     nothing more goes in, what is delayed is forgotten, and what is queued is still handed
//             out; it waits until all is done or its deadline has come. What SIGTERM wants.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "operator/base/time.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/keyed_queue.h"
#include "operator/runtime/metrics.h"

namespace muster::runtime {

class WorkQueue final {
 public:
  struct Options {
    std::string name;  // label of workqueue_*
    Backoff backoff;
    std::uint64_t seed = 0;  // for the jitter
  };
  // `clock` outlives it; `metrics` may be none. Time is counted on `clock`: after a ManualClock has
  // been moved, WakeUp lets waiting workers see what is due.
  WorkQueue(Options options, const Clock& clock, Metrics* metrics);
  ~WorkQueue();  // every worker has left Take
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  void Add(const std::string& key, Priority priority = Priority::kLive);
  void AddAfter(const std::string& key, base::Duration delay, Priority priority = Priority::kLive);
  // After the key's own back-off, which doubles with each call until Forget. Gives the delay.
  base::Duration AddAfterFailure(const std::string& key);
  void Forget(const std::string& key);
  int Failures(const std::string& key) const;

  // Waits for a key. Nothing: the queue has ended, and so should the worker.
  std::optional<std::string> Take();
  // Nothing: none is queued now, or the queue has ended.
  std::optional<std::string> TryTake();
  void Done(const std::string& key);

  void ShutDown();
  // `deadline` counts on the RealClock. False: it passed with work left; Take then gives nothing
  // more, as after ShutDown.
  bool Drain(base::Time deadline);
  void WakeUp();

  std::size_t Depth() const;

 private:
  struct State;
  const std::shared_ptr<State> state_;  // shared with the collector of `metrics`
};

}  // namespace muster::runtime
