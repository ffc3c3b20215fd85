// The simulated training thread of a worker: one job after the other, each taking its time, on real
// integers. It says when a command of the session comes at a moment at which no shell could obey
// it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/numbers.h"
#include "tests/sim/world.h"
#include "worker/session/session.h"

namespace muster::sim {

class Worker;

class TrainingThread {
 public:
  TrainingThread(World& world, const Numbers& numbers, Worker& worker)
      : world_(world), numbers_(numbers), worker_(worker) {}

  void Clear(const api::SumTag& tag);
  void Compute(const session::ComputeSlots& order);
  void Stop();
  void Fresh();
  void Restore(std::optional<ModelState> checkpoint);
  void Apply(base::Step step);
  void Copy(const session::CopyForCheckpoint& order);
  // Whatever takes time and touches neither state nor sum; then `done`.
  void Busy(base::Duration time, std::function<void()> done);

  // What the communicator thread uses.
  const Sum& sum() const { return sum_; }
  void Confirm(const Sum& whole, std::uint64_t redo_exponents);
  void Receive(const ModelState& state);  // swapped in
  bool computing() const { return computing_; }

  bool has_state() const { return state_.has_value(); }
  const ModelState& state() const { return *state_; }
  const std::map<std::int64_t, ModelState>& copies() const { return copies_; }
  std::int64_t slots_computed() const { return slots_computed_; }

 private:
  struct Order {
    session::ComputeSlots slots;
    std::size_t next = 0;
    bool stop = false;
  };
  using Job = std::function<void()>;
  void Push(Job job);
  void Done();  // with the job in front
  void NextSlot();

  World& world_;
  const Numbers& numbers_;
  Worker& worker_;
  std::deque<Job> jobs_;
  std::deque<Order> orders_;
  bool computing_ = false;
  std::optional<ModelState> state_;
  Sum sum_;
  std::optional<Sum> confirmed_;
  std::uint64_t redo_exponents_ = 0;  // learned from the last saturated reduction
  std::map<std::int64_t, ModelState> copies_;
  std::int64_t slots_computed_ = 0;
};

}  // namespace muster::sim
