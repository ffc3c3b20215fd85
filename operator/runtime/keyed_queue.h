// Which key is worked on next: the decisions of a work queue, as values; `now` is an argument.
//
// Not safe from several threads; WorkQueue (work_queue.h) puts a lock and waiting workers around
// it.
//
// A key is in up to three sets, and these always hold:
//   dirty       it has to be looked at: somebody added it since it was last taken
//   processing  a worker has it, between Take and Done
//   queued      it waits for a worker: dirty, and not processing. Each key at most once
// So no key is ever worked on by two workers at once; what is added while a worker has it is not
// lost, because Done queues a key that became dirty again; and adding a key twice is adding it
// once, which bounds the queue by the number of objects that exist.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "operator/base/rng.h"
#include "operator/base/time.h"

namespace muster::runtime {

// Live events go before the list at start: a node that is lost now must not wait behind ten
// thousand objects that are merely there.
enum class Priority { kLive, kInitialList };

struct Backoff {
  base::Duration first = std::chrono::milliseconds(5);
  base::Duration most = std::chrono::seconds(1000);
  // A delay is made longer by up to this share, so that keys that failed together come back apart.
  double jitter = 0.25;
  friend bool operator==(const Backoff&, const Backoff&) = default;
};

// The delay after `failures` >= 1 in a row, within [first, most].
base::Duration BackoffDelay(const Backoff& backoff, int failures, base::SplitMix& random);

class KeyedQueue final {
 public:
  struct Taken {
    std::string key;
    base::Duration waited{0};  // from becoming dirty to here
  };

  KeyedQueue(Backoff backoff, std::uint64_t seed) : backoff_(backoff), random_(seed) {}

  // True: the key was not dirty before, which is what workqueue_adds_total counts.
  bool Add(base::Time now, const std::string& key, Priority priority);
  // Added when `at` has come; of several the earliest counts.
  void AddAt(base::Time at, const std::string& key, Priority priority);
  // Added after the key's back-off, which it gives; each call is one more failure until Forget.
  base::Duration AddAfterFailure(base::Time now, const std::string& key);
  // The key has succeeded: its next failure is its first.
  void Forget(const std::string& key) { failures_.erase(key); }
  int Failures(const std::string& key) const;

  // Moves what is due from the delayed to the queued; gives how many adds were counted.
  int Advance(base::Time now);
  // When Advance has something to do next. Nothing: nothing is delayed.
  std::optional<base::Time> NextDue() const;

  // The next key, if one is queued. The worker calls Done when it has finished.
  std::optional<Taken> Take(base::Time now);
  // How long it was worked on. A bug (CHECK) for a key that nobody took.
  base::Duration Done(base::Time now, const std::string& key);

  // Forgets what is delayed: nobody will wait for it any more.
  void DropDelayed();

  std::size_t queued() const { return live_.size() + listed_.size(); }
  std::size_t processing() const { return processing_.size(); }
  std::size_t delayed() const { return delayed_.size(); }
  // Sum and maximum of the time that the keys in work have taken so far.
  base::Duration UnfinishedWork(base::Time now) const;
  base::Duration LongestRunning(base::Time now) const;

  // After so many live keys in a row one of the initial list has its turn: live events are without
  // end, and an object that was never looked at may be the one that hangs.
  static constexpr int kLiveInARow = 8;

 private:
  struct Dirty {
    base::Time since;
    Priority priority = Priority::kLive;
  };
  struct Delayed {
    base::Time at;
    Priority priority = Priority::kLive;
  };
  void Queue(const std::string& key, Priority priority);

  const Backoff backoff_;
  base::SplitMix random_;
  std::map<std::string, Dirty> dirty_;
  std::map<std::string, base::Time> processing_;  // since when
  std::deque<std::string> live_;                  // queued, first in first out
  std::deque<std::string> listed_;
  int live_in_a_row_ = 0;
  std::map<std::string, Delayed> delayed_;
  std::set<std::pair<base::Time, std::string>> due_;  // delayed_ in the order of time
  std::map<std::string, int> failures_;
};

}  // namespace muster::runtime
