#include "worker/app/lane.h"

#include <pthread.h>

#include <memory>

#include "operator/base/check.h"

namespace muster::app {

Lane::Lane(std::string name) : name_(std::move(name)), thread_([this] { Loop(); }) {
  pthread_setname_np(thread_.native_handle(), name_.substr(0, 15).c_str());
}

Lane::~Lane() { Stop(); }

void Lane::Post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    MUSTER_CHECK(tasks_.size() < kCapacity, "lane " + name_ + " is full");
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

bool Lane::WaitIdle(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, most, [this] { return tasks_.empty() && !busy_; });
}

void Lane::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    tasks_.clear();
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void RunOn(Lane& lane, std::function<void()> task) {
  struct Gone {
    std::mutex mutex;
    std::condition_variable changed;
    bool gone = false;
  };
  const auto state = std::make_shared<Gone>();
  // Its end tells that the task has run, or was dropped.
  std::shared_ptr<void> ticket(nullptr, [state](void*) {
    const std::lock_guard lock(state->mutex);
    state->gone = true;
    state->changed.notify_all();
  });
  lane.Post([task = std::move(task), ticket = std::move(ticket)] { task(); });
  std::unique_lock lock(state->mutex);
  state->changed.wait(lock, [&] { return state->gone; });
}

void PostBehind(Lane& first, Lane& then, std::function<void()> task) {
  first.Post([&then, task = std::move(task)]() mutable { then.Post(std::move(task)); });
}

void Lane::Loop() {
  while (true) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
      if (stopping_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
      busy_ = true;
    }
    task();
    {
      std::lock_guard lock(mutex_);
      busy_ = false;
    }
    idle_.notify_all();
  }
}

}  // namespace muster::app
