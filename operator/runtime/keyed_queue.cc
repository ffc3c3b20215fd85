#include "operator/runtime/keyed_queue.h"

#include <algorithm>

#include "operator/base/check.h"

namespace muster::runtime {

base::Duration BackoffDelay(const Backoff& backoff, int failures, base::SplitMix& random) {
  // Doubling stops below `most`, so that the longest delays are spread as well.
  const double ceiling = static_cast<double>(backoff.most.count()) / (1 + backoff.jitter);
  double delay = static_cast<double>(backoff.first.count());
  for (int i = 1; i < failures && delay < ceiling; ++i) delay *= 2;
  delay = std::min(delay, ceiling) * (1 + backoff.jitter * random.Uniform());
  return std::clamp(base::Duration(static_cast<base::Duration::rep>(delay)), backoff.first,
                    backoff.most);
}

bool KeyedQueue::Add(base::Time now, const std::string& key, Priority priority) {
  const auto [at, added] = dirty_.try_emplace(key, Dirty{now, priority});
  const bool processing = processing_.contains(key);
  if (!added) {
    if (priority != Priority::kLive || at->second.priority == Priority::kLive) return false;
    // It was merely listed, and now something has happened to it.
    at->second.priority = Priority::kLive;
    if (!processing) {
      std::erase(listed_, key);
      live_.push_back(key);
    }
    return false;
  }
  if (!processing) Queue(key, priority);
  return true;
}

void KeyedQueue::Queue(const std::string& key, Priority priority) {
  (priority == Priority::kLive ? live_ : listed_).push_back(key);
}

void KeyedQueue::AddAt(base::Time at, const std::string& key, Priority priority) {
  const auto [entry, added] = delayed_.try_emplace(key, Delayed{at, priority});
  if (!added) {
    if (priority == Priority::kLive) entry->second.priority = priority;
    if (entry->second.at <= at) return;
    due_.erase({entry->second.at, key});
    entry->second.at = at;
  }
  due_.insert({at, key});
}

base::Duration KeyedQueue::AddAfterFailure(base::Time now, const std::string& key) {
  const base::Duration delay = BackoffDelay(backoff_, ++failures_[key], random_);
  AddAt(now + delay, key, Priority::kLive);
  return delay;
}

int KeyedQueue::Failures(const std::string& key) const {
  const auto at = failures_.find(key);
  return at == failures_.end() ? 0 : at->second;
}

int KeyedQueue::Advance(base::Time now) {
  int added = 0;
  while (!due_.empty() && due_.begin()->first <= now) {
    const auto [at, key] = *due_.begin();
    due_.erase(due_.begin());
    const Priority priority = delayed_.at(key).priority;
    delayed_.erase(key);
    // It waits for a worker since it was due, not since somebody noticed.
    if (Add(at, key, priority)) ++added;
  }
  return added;
}

std::optional<base::Time> KeyedQueue::NextDue() const {
  if (due_.empty()) return std::nullopt;
  return due_.begin()->first;
}

std::optional<KeyedQueue::Taken> KeyedQueue::Take(base::Time now) {
  if (live_.empty() && listed_.empty()) return std::nullopt;
  const bool live = !live_.empty() && (listed_.empty() || live_in_a_row_ < kLiveInARow);
  live_in_a_row_ = live ? live_in_a_row_ + 1 : 0;
  std::deque<std::string>& from = live ? live_ : listed_;
  Taken taken{std::move(from.front())};
  from.pop_front();
  const auto dirty = dirty_.find(taken.key);
  taken.waited = std::max(now - dirty->second.since, base::Duration(0));
  dirty_.erase(dirty);
  processing_.emplace(taken.key, now);
  return taken;
}

base::Duration KeyedQueue::Done(base::Time now, const std::string& key) {
  const auto at = processing_.find(key);
  MUSTER_CHECK(at != processing_.end(),
               "Done is for a key that was taken and not yet done: " + key);
  const base::Duration worked = now - at->second;
  processing_.erase(at);
  if (const auto dirty = dirty_.find(key); dirty != dirty_.end()) {
    Queue(key, dirty->second.priority);
  }
  return worked;
}

void KeyedQueue::DropDelayed() {
  delayed_.clear();
  due_.clear();
}

base::Duration KeyedQueue::UnfinishedWork(base::Time now) const {
  base::Duration sum{0};
  for (const auto& [key, since] : processing_) sum += now - since;
  return sum;
}

base::Duration KeyedQueue::LongestRunning(base::Time now) const {
  base::Duration longest{0};
  for (const auto& [key, since] : processing_) longest = std::max(longest, now - since);
  return longest;
}

}  // namespace muster::runtime
