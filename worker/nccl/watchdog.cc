#include "worker/nccl/watchdog.h"

#include <utility>

#include "worker/comm/socket.h"

namespace muster::nccl {

Watchdog::Watchdog(Expired expired) : expired_(std::move(expired)), thread_([this] { Run(); }) {}

Watchdog::~Watchdog() {
  {
    runtime::MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void Watchdog::Arm(base::Time deadline, const std::string& sentence) {
  runtime::MutexLock lock(mutex_);
  if (armed_ && armed_->deadline <= deadline) return;
  armed_ = Armed{deadline, sentence};
  changed_.NotifyAll();
}

void Watchdog::Disarm() {
  runtime::MutexLock lock(mutex_);
  armed_.reset();
}

void Watchdog::Run() {
  while (true) {
    std::string sentence;
    {
      runtime::MutexLock lock(mutex_);
      while (!stop_ && !(armed_ && armed_->deadline <= comm::Now())) {
        if (armed_) {
          changed_.WaitUntil(mutex_, armed_->deadline);
        } else {
          changed_.Wait(mutex_);
        }
      }
      if (stop_) return;
      sentence = std::move(armed_->sentence);
      armed_.reset();
    }
    expired_(sentence);
  }
}

}  // namespace muster::nccl
