#include "worker/kernels/parallel.h"

#include <algorithm>

namespace muster::kernels {

// One call of For. `next` hands out tiles; `busy` counts workers that have not left this job.
struct Pool::Job {
  std::atomic<const TileFunction*> function{nullptr};
  std::atomic<std::int64_t> tiles{0};
  std::atomic<std::int64_t> next{0};
  std::atomic<int> busy{0};

  void Run() {
    const TileFunction& tile = *function.load(std::memory_order_relaxed);
    const std::int64_t count = tiles.load(std::memory_order_relaxed);
    for (std::int64_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) tile(i);
  }
};

namespace {

// Kernels follow each other within microseconds: spin a little before asking the kernel to sleep.
constexpr int kSpins = 2000;

template <typename T>
void AwaitChange(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

Pool::Pool(int threads) : job_(std::make_unique<Job>()) {
  for (int i = 1; i < std::max(threads, 1); ++i) {
    workers_.emplace_back([this](std::stop_token stop) { Work(stop); });
  }
}

Pool::~Pool() {
  for (std::jthread& worker : workers_) worker.request_stop();
  generation_.fetch_add(1);
  generation_.notify_all();
  workers_.clear();  // joins
}

void Pool::For(std::int64_t tiles, TileFunction tile) {
  if (workers_.empty() || tiles <= 1) {
    for (std::int64_t i = 0; i < tiles; ++i) tile(i);
    return;
  }
  job_->function.store(&tile, std::memory_order_relaxed);
  job_->tiles.store(tiles, std::memory_order_relaxed);
  job_->next.store(0, std::memory_order_relaxed);
  job_->busy.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  job_->Run();
  for (int busy = job_->busy.load(std::memory_order_acquire); busy != 0;
       busy = job_->busy.load(std::memory_order_acquire)) {
    AwaitChange(job_->busy, busy);
  }
}

void Pool::Work(std::stop_token stop) {
  std::uint64_t seen = 0;
  while (true) {
    AwaitChange(generation_, seen);
    seen = generation_.load(std::memory_order_acquire);
    if (stop.stop_requested()) return;
    job_->Run();
    if (job_->busy.fetch_sub(1, std::memory_order_acq_rel) == 1) job_->busy.notify_all();
  }
}

}  // namespace muster::kernels
