#include "operator/kube/sleep.h"

#include "operator/runtime/clock.h"
#include "operator/runtime/mutex.h"

namespace muster::kube {

bool SleepUnlessStopped(base::Duration wait, const std::stop_token& stop) {
  if (wait <= base::Duration(0)) return !stop.stop_requested();
  runtime::Mutex mutex;
  runtime::Condition changed;
  const std::stop_callback wake(stop, [&mutex, &changed] {
    runtime::MutexLock lock(mutex);
    changed.NotifyAll();
  });
  const base::Time until = runtime::RealClock().Now() + wait;
  runtime::MutexLock lock(mutex);
  while (!stop.stop_requested()) {
    if (!changed.WaitUntil(mutex, until)) return !stop.stop_requested();
  }
  return false;
}

}  // namespace muster::kube
