#include "tests/worker/cuda/simt/late.h"

#include <utility>

namespace muster::simt {

bool Late::DoUntil(Stream& stream, std::uint64_t count) {
  bool any = false;
  while (stream.done < count && !stream.copies.empty()) {
    stream.copies.front()();
    stream.copies.pop_front();
    ++stream.done;
    any = true;
  }
  return any;
}

void Late::Add(const void* stream, Copy copy) {
  const std::lock_guard lock(mutex_);
  streams_[stream].copies.push_back(std::move(copy));
}

void Late::DoAll() {
  const std::lock_guard lock(mutex_);
  for (auto& [name, stream] : streams_) DoUntil(stream, UINT64_MAX);
}

void Late::DoStream(const void* stream) {
  const std::lock_guard lock(mutex_);
  const auto found = streams_.find(stream);
  if (found != streams_.end()) DoUntil(found->second, UINT64_MAX);
}

void Late::Record(const void* event, const void* stream) {
  const std::lock_guard lock(mutex_);
  const Stream& of = streams_[stream];
  events_[event] = {stream, of.done + of.copies.size()};
}

bool Late::DoEvent(const void* event) {
  const std::lock_guard lock(mutex_);
  const auto found = events_.find(event);
  if (found == events_.end()) return false;
  return DoUntil(streams_[found->second.stream], found->second.count);
}

void Late::Forget(const void* event) {
  const std::lock_guard lock(mutex_);
  events_.erase(event);
}

}  // namespace muster::simt
