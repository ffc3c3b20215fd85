// The gate in front of every slot: makes "which slots do I hold" exact at the instant of an
// Interrupt.
//
// M4 wants Ready answered at once, naming the slot in progress. The network thread therefore holds
// the gate *before* it queues an Interrupt, and the training thread queues SlotBegun *inside* the
// gate: every slot that was begun is in the queue ahead of the Interrupt, and no other can begin
// behind it.
//
// Holds are counted: one for each Interrupt in the queue. The control thread lets go of one after
// the session has dealt with it; by then the session either said Stop() or ignored the Interrupt
// and training goes on.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

namespace muster::app {

class SlotGate {
 public:
  // Training thread: runs `begun` inside the gate and returns true, or returns false when stopped.
  // Waits while the gate is held; the control thread lets go of every hold.
  bool Enter(const std::function<void()>& begun);
  // Network thread, before an Interrupt is queued.
  void Hold();
  // Control thread, after the session has dealt with that Interrupt.
  void LetGo();
  // Control thread: no slot begins until Open(), which comes right before new slots are posted.
  void Stop();
  void Open();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int holds_ = 0;         // guarded by mutex_
  bool stopped_ = false;  // guarded by mutex_
};

}  // namespace muster::app
