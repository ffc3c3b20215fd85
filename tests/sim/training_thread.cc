// See training_thread.h.
#include "tests/sim/training_thread.h"

#include <algorithm>

#include "tests/sim/worker.h"

namespace muster::sim {

void TrainingThread::Push(Job job) {
  jobs_.push_back(std::move(job));
  if (jobs_.size() == 1) jobs_.front()();
}

void TrainingThread::Done() {
  jobs_.pop_front();
  if (!jobs_.empty()) jobs_.front()();
}

void TrainingThread::Busy(base::Duration time, std::function<void()> done) {
  Push([this, time, done] {
    worker_.Later(time, [this, done] {
      done();
      Done();
    });
  });
}

void TrainingThread::Clear(const api::SumTag& tag) {
  Push([this, tag] {
    const bool known = !state_ || (tag.attempt == 0 ? tag.exponents == state_->exponents
                                                    : tag.exponents == redo_exponents_);
    if (!known) {
      world_.Violation(worker_.name() +
                       " was told to sum under exponents that it never learned, attempt " +
                       std::to_string(tag.attempt));
    }
    if (state_ && tag.step.value != state_->step + 1) {
      world_.Violation(worker_.name() + " has the state of step " + std::to_string(state_->step) +
                       " and clears its sum for step " + std::to_string(tag.step.value));
    }
    sum_.Clear(tag, numbers_.slots);
    Done();
  });
}

void TrainingThread::Compute(const session::ComputeSlots& order) {
  orders_.push_back({order, 0, false});
  Push([this] {
    computing_ = true;
    NextSlot();
  });
}

void TrainingThread::NextSlot() {
  Order& order = orders_.front();
  const api::SumTag tag = order.slots.tag;
  if (order.stop || order.next == order.slots.slots.size()) {
    computing_ = false;
    orders_.pop_front();
    worker_.Post(session::ComputeStopped{tag});
    Done();
    return;
  }
  const api::Slot slot = order.slots.slots[order.next++];
  worker_.Post(session::SlotBegun{tag, slot});
  worker_.Later(world_.Micros(1000, world_.Chance(0.03) ? 30000 : 8000), [this, tag, slot] {
    if (sum_.tag != tag || !state_ || state_->step + 1 != tag.step.value) {
      world_.Violation(worker_.name() + " computes a slot for a sum that is not there");
    } else {
      AddSlot(numbers_, *state_, slot, sum_);
    }
    ++slots_computed_;
    session::SlotDone done{tag, slot, 0.005, {}};
    done.samples.push_back(static_cast<std::uint64_t>(tag.step.value * numbers_.slots + slot));
    worker_.Post(done);
    NextSlot();
  });
}

void TrainingThread::Stop() {
  for (Order& order : orders_) order.stop = true;
}

void TrainingThread::Fresh() {
  Busy(world_.Micros(500, 5000), [this] {
    state_ = FreshState(numbers_);
    worker_.Post(session::StateMade{Digest(*state_), state_->exponents});
  });
}

void TrainingThread::Restore(std::optional<ModelState> checkpoint) {
  Busy(world_.Micros(2000, 20000), [this, checkpoint] {
    if (!checkpoint) {
      world_.Violation(worker_.name() +
                       " was told to restore a checkpoint that is not on disk (M14)");
      worker_.Post(session::RestoreFailed{"no such manifest"});
      return;
    }
    state_ = checkpoint;
    worker_.Post(
        session::StateRestored{Digest(*state_), base::Step(state_->step), state_->exponents});
  });
}

void TrainingThread::Confirm(const Sum& whole, std::uint64_t redo_exponents) {
  if (redo_exponents != 0) redo_exponents_ = redo_exponents;
  confirmed_ = whole;
}

void TrainingThread::Receive(const ModelState& state) {
  if (computing_)
    world_.Violation(worker_.name() + " receives state into buffers that a slot is added to (M6)");
  state_ = state;
}

void TrainingThread::Apply(base::Step step) {
  Busy(world_.Micros(300, 6000), [this, step] {
    if (!confirmed_ || confirmed_->tag.step != step || !state_ || state_->step + 1 != step.value) {
      world_.Violation(worker_.name() + " applies step " + std::to_string(step.value) +
                       " that was not confirmed");
      return;
    }
    sim::Apply(numbers_, *confirmed_, *state_);
    confirmed_.reset();
    worker_.Committed(*state_);
  });
}

void TrainingThread::Copy(const session::CopyForCheckpoint& order) {
  Busy(world_.Micros(200, 3000), [this, order] {
    if (!state_ || state_->step != order.step.value) {
      world_.Violation(worker_.name() + " copies step " + std::to_string(order.step.value) +
                       " which it does not hold");
      return;
    }
    copies_[order.step.value] = *state_;
    worker_.Post(session::StateCopied{order.step});
    worker_.WritePart(order, Digest(*state_));
  });
}

}  // namespace muster::sim
