// Stands behind a call that may never come back: at its deadline it says so and ends the process.
//
// Thread rule: Arm and Disarm from any thread; `expired` is called on the watchdog's own, once for
// each arming, with no lock held. In production it writes the sentence and calls _exit: a destructor
// would wait for the very thread that hangs.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "operator/base/time.h"
#include "operator/runtime/mutex.h"

namespace muster::nccl {

class Watchdog final {
 public:
  using Expired = std::function<void(const std::string& sentence)>;
  explicit Watchdog(Expired expired);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // Of two armings the earlier deadline holds. Deadlines count on runtime::RealClock.
  void Arm(base::Time deadline, const std::string& sentence);
  void Disarm();

 private:
  struct Armed {
    base::Time deadline;
    std::string sentence;
  };
  void Run();

  const Expired expired_;
  runtime::Mutex mutex_;
  runtime::Condition changed_;
  std::optional<Armed> armed_ MUSTER_GUARDED_BY(mutex_);
  bool stop_ MUSTER_GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace muster::nccl
