// See world.h.
#include "tests/sim/world.h"

#include <cstdio>

namespace muster::sim {

void World::After(base::Duration delay, std::function<void()> what) {
  queue_.push({now_ + delay, order_++, std::move(what)});
}

base::Duration World::Micros(std::int64_t low, std::int64_t high) {
  return std::chrono::microseconds(
      low + static_cast<std::int64_t>(rng_.Below(static_cast<std::uint64_t>(high - low + 1))));
}

bool World::RunOne(base::Time end) {
  if (queue_.empty() || queue_.top().at > end) return false;
  // top() is const only to protect the order; the item leaves the queue in the next line.
  Item item = std::move(const_cast<Item&>(queue_.top()));
  queue_.pop();
  now_ = item.at;
  ++events_;
  item.what();
  return true;
}

void World::Violation(const std::string& sentence) {
  if (violations_.size() < 20) violations_.push_back(sentence);
  Trace([&] { return "VIOLATION " + sentence; });
}

void World::Print(const std::string& line) const {
  std::fprintf(stderr, "%10.6f %s\n", seconds(), line.c_str());
}

}  // namespace muster::sim
