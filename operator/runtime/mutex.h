// A mutex and a condition that Clang's thread-safety analysis understands; std's own carry no
// annotations.
//
// Locks live only where docs/architecture.md names them; everything else passes values through
// queues.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "operator/base/time.h"

#if defined(__clang__)
#define MUSTER_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define MUSTER_THREAD_ANNOTATION(x)
#endif
#define MUSTER_GUARDED_BY(x) MUSTER_THREAD_ANNOTATION(guarded_by(x))
#define MUSTER_REQUIRES(...) MUSTER_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
// For a function whose lock is another object's, which the analysis cannot follow.
#define MUSTER_UNCHECKED_LOCKING MUSTER_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace muster::runtime {

class MUSTER_THREAD_ANNOTATION(capability("mutex")) Mutex {
 public:
  void Lock() MUSTER_THREAD_ANNOTATION(acquire_capability()) { mutex_.lock(); }
  void Unlock() MUSTER_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }

 private:
  friend class Condition;
  std::mutex mutex_;
};

class MUSTER_THREAD_ANNOTATION(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) MUSTER_THREAD_ANNOTATION(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() MUSTER_THREAD_ANNOTATION(release_capability()) { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Wake-ups may be spurious: wait in a loop over the guarded state.
class Condition {
 public:
  void Wait(Mutex& mutex) MUSTER_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // `deadline` counts on RealClock. False when it has passed.
  bool WaitUntil(Mutex& mutex, base::Time deadline) MUSTER_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    const std::chrono::steady_clock::time_point until(deadline.time_since_epoch());
    const bool in_time = condition_.wait_until(lock, until) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace muster::runtime
