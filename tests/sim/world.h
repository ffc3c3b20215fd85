// Simulated time: one queue of things to happen, one seed, and what was found to be wrong.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <vector>

#include "operator/base/rng.h"
#include "operator/base/time.h"

namespace muster::sim {

class World {
 public:
  World(std::uint64_t seed, bool tracing) : rng_(base::Mix64(seed)), tracing_(tracing) {}

  base::Time now() const { return now_; }
  base::WallTime wall() const { return base::WallTime(now_.time_since_epoch()); }
  double seconds() const { return base::ToSeconds(now_.time_since_epoch()); }
  std::uint64_t events() const { return events_; }

  void After(base::Duration delay, std::function<void()> what);
  void AfterMicros(std::int64_t low, std::int64_t high, std::function<void()> what) {
    After(Micros(low, high), std::move(what));
  }
  base::Duration Micros(std::int64_t low, std::int64_t high);
  std::uint64_t Below(std::uint64_t bound) { return rng_.Below(bound); }
  bool Chance(double probability) { return rng_.Uniform() < probability; }

  // False: nothing is left to happen before `end`.
  bool RunOne(base::Time end);

  // The line is only made when somebody reads it.
  template <typename MakeLine>
  void Trace(MakeLine&& line) {
    if (tracing_) Print(line());
  }
  void Violation(const std::string& sentence);
  const std::vector<std::string>& violations() const { return violations_; }

 private:
  struct Item {
    base::Time at;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Item& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  void Print(const std::string& line) const;

  base::SplitMix rng_;
  bool tracing_;
  base::Time now_;
  std::uint64_t events_ = 0;
  std::uint64_t order_ = 0;
  std::priority_queue<Item> queue_;
  std::vector<std::string> violations_;
};

}  // namespace muster::sim
