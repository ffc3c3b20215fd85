#include "worker/app/slot_gate.h"

#include "operator/base/check.h"

namespace muster::app {

bool SlotGate::Enter(const std::function<void()>& begun) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopped_ || holds_ == 0; });
  if (stopped_) return false;
  begun();
  return true;
}

void SlotGate::Hold() {
  std::lock_guard lock(mutex_);
  ++holds_;
}

void SlotGate::LetGo() {
  {
    std::lock_guard lock(mutex_);
    MUSTER_CHECK(holds_ > 0, "a hold is let go once");
    --holds_;
  }
  changed_.notify_all();
}

void SlotGate::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

void SlotGate::Open() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = false;
  }
  changed_.notify_all();
}

}  // namespace muster::app
