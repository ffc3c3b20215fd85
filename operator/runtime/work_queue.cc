#include "operator/runtime/work_queue.h"

#include <utility>
#include <vector>

#include "operator/base/check.h"
#include "operator/runtime/mutex.h"

namespace muster::runtime {
namespace {

// client-go's buckets are powers of ten from 10 ns; ours are where a decision's time can lie.
std::vector<double> WorkBounds() {
  return {0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 600};
}

enum class Ending { kNo, kDraining, kOver };

}  // namespace

struct WorkQueue::State {
  State(Options options, const Clock& c)
      : name(std::move(options.name)), clock(c), queue(options.backoff, options.seed) {}

  void MakeSeries(Metrics& metrics);
  std::vector<Family> Collect() const;
  std::optional<std::string> TakeNow() MUSTER_REQUIRES(mutex);
  bool Idle() const MUSTER_REQUIRES(mutex) {
    return queue.queued() == 0 && queue.processing() == 0;
  }
  void CountAdds(int adds) const {
    if (adds > 0) adds_total.Increment(adds);
  }

  const std::string name;
  const Clock& clock;
  mutable Mutex mutex;
  Condition changed;
  KeyedQueue queue MUSTER_GUARDED_BY(mutex);
  Ending ending MUSTER_GUARDED_BY(mutex) = Ending::kNo;
  Counter adds_total;
  Counter retries_total;
  Histogram queue_duration;
  Histogram work_duration;
};

void WorkQueue::State::MakeSeries(Metrics& metrics) {
  const Labels labels = {{"name", name}};
  adds_total = metrics.MakeCounter("workqueue_adds_total", "Keys that became due.", labels);
  retries_total =
      metrics.MakeCounter("workqueue_retries_total", "Keys added after a failure.", labels);
  queue_duration =
      metrics.MakeHistogram("workqueue_queue_duration_seconds",
                            "From a key's becoming due to its being taken.", WorkBounds(), labels);
  work_duration = metrics.MakeHistogram("workqueue_work_duration_seconds",
                                        "How long a key was worked on.", WorkBounds(), labels);
}

std::vector<Family> WorkQueue::State::Collect() const {
  MutexLock lock(mutex);
  const base::Time now = clock.Now();
  const auto gauge = [this](const char* family, const char* help, double value) {
    return Family{family, help, SampleType::kGauge, {{{{"name", name}}, value}}};
  };
  return {
      gauge("workqueue_depth", "Keys that wait for a worker.", static_cast<double>(queue.queued())),
      gauge("workqueue_unfinished_work_seconds", "Time spent so far on keys in work, summed.",
            base::ToSeconds(queue.UnfinishedWork(now))),
      gauge("workqueue_longest_running_processor_seconds",
            "Time spent so far on the key that is longest in work.",
            base::ToSeconds(queue.LongestRunning(now)))};
}

std::optional<std::string> WorkQueue::State::TakeNow() {
  if (ending == Ending::kOver) return std::nullopt;
  const base::Time now = clock.Now();
  CountAdds(queue.Advance(now));
  auto taken = queue.Take(now);
  if (!taken) return std::nullopt;
  queue_duration.Observe(base::ToSeconds(taken->waited));
  return std::move(taken->key);
}

WorkQueue::WorkQueue(Options options, const Clock& clock, Metrics* metrics)
    : state_(std::make_shared<State>(std::move(options), clock)) {
  if (metrics == nullptr) return;
  state_->MakeSeries(*metrics);
  // Metrics may outlive the queue.
  metrics->AddCollector([state = std::weak_ptr<const State>(state_)] {
    const auto alive = state.lock();
    return alive ? alive->Collect() : std::vector<Family>();
  });
}

WorkQueue::~WorkQueue() { ShutDown(); }

void WorkQueue::Add(const std::string& key, Priority priority) {
  MutexLock lock(state_->mutex);
  if (state_->ending != Ending::kNo) return;
  if (state_->queue.Add(state_->clock.Now(), key, priority)) state_->CountAdds(1);
  state_->changed.NotifyOne();
}

void WorkQueue::AddAfter(const std::string& key, base::Duration delay, Priority priority) {
  if (delay <= base::Duration(0)) return Add(key, priority);
  MutexLock lock(state_->mutex);
  if (state_->ending != Ending::kNo) return;
  state_->queue.AddAt(state_->clock.Now() + delay, key, priority);
  // One of the workers has to wait for less long than it does.
  state_->changed.NotifyOne();
}

base::Duration WorkQueue::AddAfterFailure(const std::string& key) {
  MutexLock lock(state_->mutex);
  if (state_->ending != Ending::kNo) return base::Duration(0);
  state_->retries_total.Increment();
  const base::Duration delay = state_->queue.AddAfterFailure(state_->clock.Now(), key);
  state_->changed.NotifyOne();
  return delay;
}

void WorkQueue::Forget(const std::string& key) {
  MutexLock lock(state_->mutex);
  state_->queue.Forget(key);
}

int WorkQueue::Failures(const std::string& key) const {
  MutexLock lock(state_->mutex);
  return state_->queue.Failures(key);
}

std::optional<std::string> WorkQueue::TryTake() {
  MutexLock lock(state_->mutex);
  return state_->TakeNow();
}

std::optional<std::string> WorkQueue::Take() {
  State& state = *state_;
  MutexLock lock(state.mutex);
  for (;;) {
    if (auto key = state.TakeNow()) {
      // A wake-up meant for a key may have been spent on a worker that waits for a later one.
      if (state.queue.queued() > 0 || state.queue.NextDue()) state.changed.NotifyOne();
      return key;
    }
    if (state.ending == Ending::kOver) return std::nullopt;
    if (state.ending == Ending::kDraining && state.Idle()) return std::nullopt;
    if (const auto due = state.queue.NextDue()) {
      state.changed.WaitUntil(state.mutex, RealClock().Now() + (*due - state.clock.Now()));
    } else {
      state.changed.Wait(state.mutex);
    }
  }
}

void WorkQueue::Done(const std::string& key) {
  MutexLock lock(state_->mutex);
  const base::Duration worked = state_->queue.Done(state_->clock.Now(), key);
  state_->work_duration.Observe(base::ToSeconds(worked));
  if (state_->ending == Ending::kNo) {
    state_->changed.NotifyOne();
  } else {
    state_->changed.NotifyAll();  // Drain waits beside the workers
  }
}

void WorkQueue::ShutDown() {
  MutexLock lock(state_->mutex);
  state_->ending = Ending::kOver;
  state_->queue.DropDelayed();
  state_->changed.NotifyAll();
}

bool WorkQueue::Drain(base::Time deadline) {
  State& state = *state_;
  MutexLock lock(state.mutex);
  if (state.ending == Ending::kNo) state.ending = Ending::kDraining;
  state.queue.DropDelayed();
  state.changed.NotifyAll();
  while (!state.Idle() && state.ending == Ending::kDraining) {
    if (!state.changed.WaitUntil(state.mutex, deadline)) break;
  }
  const bool done = state.Idle();
  state.ending = Ending::kOver;
  state.changed.NotifyAll();
  return done;
}

void WorkQueue::WakeUp() {
  MutexLock lock(state_->mutex);
  state_->changed.NotifyAll();
}

std::size_t WorkQueue::Depth() const {
  MutexLock lock(state_->mutex);
  return state_->queue.queued();
}

}  // namespace muster::runtime
