// One HTTP exchange between the thread that waits for it and the library's threads that fill it.
//
// Any thread calls. Nobody but the waiting thread ever blocks: when it is slow, the filler is told
// to come back when there is room.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "operator/base/time.h"
#include "operator/runtime/mutex.h"

namespace muster::kube {

class Exchange final {
 public:
  struct Head {
    int code = 0;
    std::optional<base::Duration> retry_after;
  };
  // `most_held`: bytes that may lie here unread before the filler is asked to pause. `most_bytes`:
  // of the whole body; 0: no bound.
  Exchange(std::size_t most_held, std::size_t most_bytes)
      : most_held_(most_held), most_bytes_(most_bytes) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // ---- the filler's

  enum class Taken { kGoOn, kPause, kRefused };
  // The response's head: which kind of body follows depends on it.
  void OnHead(Head head);
  // kPause: they are taken, and `when_room` is called once, from any thread, when more may come.
  // kRefused: nobody wants them, or the body is too long.
  Taken OnBytes(std::string_view bytes, std::function<void()> when_room);
  // The end. `problem` is empty when it ended well.
  void OnOver(std::string problem);
  // The waiting thread is to give up.
  void OnStop();

  // ---- the waiting thread's

  enum class Wake { kHead, kBytes, kOver, kStopped, kDeadline };
  // What there is to do next: a stop before all else, then the head (once), bytes as long as there
  // are some, the end. `deadline` counts on RealClock.
  Wake Wait(base::Time deadline);
  Head head() const;
  // All bytes that lie here; the filler may go on.
  std::string TakeBytes();
  std::string problem() const;
  // Nobody waits any more: what still comes is refused, and a paused filler is let go.
  void Abandon();

 private:
  const std::size_t most_held_;
  const std::size_t most_bytes_;
  mutable runtime::Mutex mutex_;
  runtime::Condition changed_;
  std::optional<Head> head_ MUSTER_GUARDED_BY(mutex_);
  bool head_told_ MUSTER_GUARDED_BY(mutex_) = false;
  std::string bytes_ MUSTER_GUARDED_BY(mutex_);
  std::size_t total_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::function<void()> when_room_ MUSTER_GUARDED_BY(mutex_);
  bool over_ MUSTER_GUARDED_BY(mutex_) = false;
  std::string problem_ MUSTER_GUARDED_BY(mutex_);
  bool stopped_ MUSTER_GUARDED_BY(mutex_) = false;
  bool abandoned_ MUSTER_GUARDED_BY(mutex_) = false;
};

}  // namespace muster::kube
