// Persist on a thread of its own, so that the machine never waits for a disk (M1).
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "operator/app/record_store.h"
#include "operator/membership/machine.h"
#include "operator/runtime/bounded_queue.h"

namespace muster::app {

class Persister final {
 public:
  // `answer` is called on the persister's thread, once for each Begin, in order.
  Persister(std::unique_ptr<RecordStore> store, std::function<void(membership::Persisted)> answer);
  ~Persister();  // finishes what was begun
  Persister(const Persister&) = delete;
  Persister& operator=(const Persister&) = delete;

  void Begin(membership::Persist persist);

 private:
  void Loop();

  const std::unique_ptr<RecordStore> store_;
  const std::function<void(membership::Persisted)> answer_;
  // reign -> persister, 4, when full: the reign waits. The machine has one in flight, so it never
  // is.
  runtime::BoundedQueue<membership::Persist> queue_{4, runtime::WhenFull::kBlock};
  std::jthread thread_;
};

}  // namespace muster::app
