#include "operator/kube/exchange.h"

#include <utility>

namespace muster::kube {

void Exchange::OnHead(Head head) {
  {
    runtime::MutexLock lock(mutex_);
    head_ = head;
  }
  changed_.NotifyAll();
}

Exchange::Taken Exchange::OnBytes(std::string_view bytes, std::function<void()> when_room) {
  Taken taken = Taken::kGoOn;
  {
    runtime::MutexLock lock(mutex_);
    if (abandoned_) return Taken::kRefused;
    total_ += bytes.size();
    if (most_bytes_ != 0 && total_ > most_bytes_) {
      problem_ = "the answer is longer than " + std::to_string(most_bytes_) + " bytes";
      return Taken::kRefused;
    }
    bytes_ += bytes;
    if (bytes_.size() > most_held_) {
      when_room_ = std::move(when_room);
      taken = Taken::kPause;
    }
  }
  changed_.NotifyAll();
  return taken;
}

void Exchange::OnOver(std::string problem) {
  {
    runtime::MutexLock lock(mutex_);
    over_ = true;
    // The first problem is the cause; what the library says of it afterwards is not.
    if (problem_.empty()) problem_ = std::move(problem);
  }
  changed_.NotifyAll();
}

void Exchange::OnStop() {
  {
    runtime::MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.NotifyAll();
}

Exchange::Wake Exchange::Wait(base::Time deadline) {
  runtime::MutexLock lock(mutex_);
  for (;;) {
    if (stopped_) return Wake::kStopped;
    if (head_ && !head_told_) {
      head_told_ = true;
      return Wake::kHead;
    }
    if (!bytes_.empty() && head_told_) return Wake::kBytes;
    if (over_) return Wake::kOver;
    if (!changed_.WaitUntil(mutex_, deadline)) return Wake::kDeadline;
  }
}

Exchange::Head Exchange::head() const {
  runtime::MutexLock lock(mutex_);
  return head_.value_or(Head());
}

std::string Exchange::TakeBytes() {
  std::string bytes;
  std::function<void()> room;
  {
    runtime::MutexLock lock(mutex_);
    bytes = std::exchange(bytes_, {});
    room = std::exchange(when_room_, nullptr);
  }
  if (room) room();
  return bytes;
}

std::string Exchange::problem() const {
  runtime::MutexLock lock(mutex_);
  return problem_;
}

void Exchange::Abandon() {
  std::function<void()> room;
  {
    runtime::MutexLock lock(mutex_);
    abandoned_ = true;
    bytes_ = {};
    room = std::exchange(when_room_, nullptr);
  }
  if (room) room();
}

}  // namespace muster::kube
