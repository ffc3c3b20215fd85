// A lane: one thread that runs what it is given, in order. Training, communicator and disk each
// have one.
//
// Post() is thread-safe and bounded: the session never has more than a handful of tasks out, so a
// full lane is a bug. Stop() drops what has not begun and waits for the task in progress.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace muster::app {

class Lane {
 public:
  explicit Lane(std::string name);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  void Post(std::function<void()> task);
  // True when all that was posted is done; false when that took longer than `most`.
  bool WaitIdle(std::chrono::milliseconds most);
  void Stop();

 private:
  static constexpr std::size_t kCapacity = 1024;
  void Loop();

  const std::string name_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  std::deque<std::function<void()>> tasks_;  // guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_
  bool busy_ = false;                        // guarded by mutex_
  std::thread thread_;                       // last: starts when all else is there
};

// On `lane`, and returns when it has run there or never will: that lane has stopped. Not for a task
// that waits for the caller's own lane.
void RunOn(Lane& lane, std::function<void()> task);

// On `then`, but not before what `first` was given so far is done. Both outlive the task.
void PostBehind(Lane& first, Lane& then, std::function<void()> task);

}  // namespace muster::app
