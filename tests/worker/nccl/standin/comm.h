// One rank's communicator: at most one operation at a time, on a thread of its own, whose outcome
// is asked for.
//
// Thread rule: one thread at a time for all calls but the operation's own thread; the caller of
// these (library.cc) sees to it.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/worker/nccl/standin/ring.h"

namespace muster::standin {

class Comm {
 public:
  // Begins to join the others.
  explicit Comm(const Seat& seat);
  ~Comm();

  int rank() const { return seat_.rank; }
  int size() const { return seat_.size; }
  // kInProgress while an operation runs; an error stays.
  int result();

  // These begin what `result` tells the end of.
  void Launch(std::vector<Collective> group);
  void Finalize();
  bool finalised() const { return finalised_; }

  // Ends whatever runs, and leaves garbage in the outputs of collectives that are not over.
  void Abort();

 private:
  void Begin(std::function<Outcome()> operation);
  Outcome ReduceAll();
  void End();

  const Seat seat_;
  Stop stop_{false};
  // Of the operation's thread while there is one.
  Ring ring_;
  std::vector<Collective> group_;
  std::size_t reduced_ = 0;  // of group_, from its beginning

  bool finalised_ = false;
  std::mutex mutex_;
  int result_ = kInProgress;  // guarded by mutex_
  std::thread thread_;
};

// What was last said to be wrong in this process.
void Remember(const std::string& warning);
std::string LastWarning();

}  // namespace muster::standin
