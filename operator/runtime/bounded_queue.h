// A first-in, first-out queue between threads that holds at most `capacity` values.
//
// What happens when it is full is declared where it is made: the pusher waits, or the new value is
// dropped and counted (then something must resend it periodically). Any number of threads may push
// and pop. After Close() nothing more goes in; what is in it still comes out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "operator/base/time.h"
#include "operator/runtime/mutex.h"

namespace muster::runtime {

enum class WhenFull { kBlock, kDropAndCount };

template <typename T>
class BoundedQueue {
 public:
  BoundedQueue(std::size_t capacity, WhenFull when_full)
      : capacity_(capacity), when_full_(when_full) {}
  BoundedQueue(const BoundedQueue&) = delete;
  BoundedQueue& operator=(const BoundedQueue&) = delete;

  // False: the queue is closed, or it was full and `value` was dropped.
  bool Push(T value) {
    {
      MutexLock lock(mutex_);
      while (!closed_ && values_.size() >= capacity_) {
        if (when_full_ == WhenFull::kDropAndCount) {
          ++dropped_;
          return false;
        }
        room_.Wait(mutex_);
      }
      if (closed_) return false;
      values_.push_back(std::move(value));
    }
    filled_.NotifyOne();
    return true;
  }

  // Waits for a value. Nothing: closed, and nothing is left in it.
  std::optional<T> Pop() {
    MutexLock lock(mutex_);
    while (values_.empty() && !closed_) filled_.Wait(mutex_);
    return Take();
  }

  // Nothing: the deadline (of RealClock) has passed, or as for Pop(). A value that is there is
  // returned also when the deadline is over.
  std::optional<T> PopUntil(base::Time deadline) {
    MutexLock lock(mutex_);
    while (values_.empty() && !closed_) {
      if (!filled_.WaitUntil(mutex_, deadline)) break;
    }
    return Take();
  }

  std::optional<T> TryPop() {
    MutexLock lock(mutex_);
    return Take();
  }

  // Wakes everybody who waits. Idempotent.
  void Close() {
    {
      MutexLock lock(mutex_);
      closed_ = true;
    }
    filled_.NotifyAll();
    room_.NotifyAll();
  }

  bool closed() const {
    MutexLock lock(mutex_);
    return closed_;
  }
  std::size_t size() const {
    MutexLock lock(mutex_);
    return values_.size();
  }
  std::uint64_t dropped() const {
    MutexLock lock(mutex_);
    return dropped_;
  }

 private:
  std::optional<T> Take() MUSTER_REQUIRES(mutex_) {
    if (values_.empty()) return std::nullopt;
    std::optional<T> value(std::move(values_.front()));
    values_.pop_front();
    if (when_full_ == WhenFull::kBlock) room_.NotifyOne();
    return value;
  }

  const std::size_t capacity_;
  const WhenFull when_full_;
  mutable Mutex mutex_;
  Condition filled_;
  Condition room_;
  std::deque<T> values_ MUSTER_GUARDED_BY(mutex_);
  bool closed_ MUSTER_GUARDED_BY(mutex_) = false;
  std::uint64_t dropped_ MUSTER_GUARDED_BY(mutex_) = 0;
};

}  // namespace muster::runtime
