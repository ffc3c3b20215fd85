// Calls that block, made on threads of their own, in an order by key.
//
// Of one key at most one call runs at a time, and what is put while it runs comes after it. A call
// that has not begun is replaced by the next of its key: what is put is what the caller wants now,
// not a step of a sequence. A call that says kRetry is made again after its key's back-off unless
// another has replaced it.
//
// Safe from every thread; Put never waits. Memory is bounded by the number of different keys.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "operator/runtime/clock.h"
#include "operator/runtime/metrics.h"
#include "operator/runtime/mutex.h"
#include "operator/runtime/work_queue.h"

namespace muster::runtime {

enum class TaskResult { kDone, kRetry };
// `stop` is set when the owner ends: a call that waits for something ends early then.
using Task = std::function<TaskResult(std::stop_token stop)>;

class KeyedTasks final {
 public:
  struct Options {
    std::string name;  // label of workqueue_*
    int threads = 1;
    Backoff backoff = {std::chrono::milliseconds(50), std::chrono::seconds(30), 0.25};
    std::uint64_t seed = 0;
  };
  // `clock` outlives it; `metrics` may be none.
  KeyedTasks(Options options, const Clock& clock, Metrics* metrics);
  ~KeyedTasks();  // as Stop()
  KeyedTasks(const KeyedTasks&) = delete;
  KeyedTasks& operator=(const KeyedTasks&) = delete;

  void Put(const std::string& key, Task task);
  // Forgets the call of this key that has not begun.
  void Drop(const std::string& key);
  // What has not begun never will; waits for the calls that run, which are told to stop.
  // Idempotent; not to be called from a task.
  void Stop();

  std::size_t Waiting() const;  // calls that have not begun
  // A call of this key has not begun, runs, or is to be tried again.
  bool Holds(const std::string& key) const;

 private:
  void Work(std::stop_token stop);

  WorkQueue queue_;
  mutable Mutex mutex_;
  std::map<std::string, Task> waiting_ MUSTER_GUARDED_BY(mutex_);
  std::set<std::string> running_ MUSTER_GUARDED_BY(mutex_);
  std::stop_source stop_;
  std::vector<std::thread> threads_;
};

}  // namespace muster::runtime
