#include "operator/runtime/keyed_tasks.h"

#include <utility>

namespace muster::runtime {

KeyedTasks::KeyedTasks(Options options, const Clock& clock, Metrics* metrics)
    : queue_({options.name, options.backoff, options.seed}, clock, metrics) {
  for (int i = 0; i < options.threads; ++i) {
    threads_.emplace_back([this] { Work(stop_.get_token()); });
  }
}

KeyedTasks::~KeyedTasks() { Stop(); }

void KeyedTasks::Put(const std::string& key, Task task) {
  {
    MutexLock lock(mutex_);
    waiting_[key] = std::move(task);
  }
  queue_.Add(key);
}

void KeyedTasks::Drop(const std::string& key) {
  Task dropped;  // dies after the lock is let go
  MutexLock lock(mutex_);
  if (auto node = waiting_.extract(key); !node.empty()) dropped = std::move(node.mapped());
}

void KeyedTasks::Stop() {
  queue_.ShutDown();
  stop_.request_stop();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

std::size_t KeyedTasks::Waiting() const {
  MutexLock lock(mutex_);
  return waiting_.size();
}

bool KeyedTasks::Holds(const std::string& key) const {
  MutexLock lock(mutex_);
  return waiting_.contains(key) || running_.contains(key);
}

void KeyedTasks::Work(std::stop_token stop) {
  while (auto key = queue_.Take()) {
    Task task;
    {
      MutexLock lock(mutex_);
      if (auto node = waiting_.extract(*key); !node.empty()) task = std::move(node.mapped());
      running_.insert(*key);
    }
    TaskResult result = task ? task(stop) : TaskResult::kDone;
    {
      MutexLock lock(mutex_);
      running_.erase(*key);
      // What was put meanwhile is what is wanted now.
      if (result == TaskResult::kRetry && !waiting_.try_emplace(*key, std::move(task)).second) {
        result = TaskResult::kDone;
      }
    }
    if (result == TaskResult::kRetry) {
      queue_.AddAfterFailure(*key);
    } else {
      queue_.Forget(*key);
    }
    queue_.Done(*key);
  }
}

}  // namespace muster::runtime
