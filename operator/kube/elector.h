// The election's shell: a thread that steps the machine, and one that talks to the API server.
//
// elector_machine.h says what is guaranteed and what is not. Whoever writes to the API server asks
// MayWrite() immediately before each request; it is safe from every thread, and it is false from
// the renew deadline on even if the thread that would say so does not get to run.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "operator/kube/elector_machine.h"
#include "operator/runtime/bounded_queue.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/metrics.h"

namespace muster::kube {

// The seam to the API server. Calls block, at most until their timeout; after it the answer is an
// error and the write may land all the same.
class LeaseStore {
 public:
  virtual ~LeaseStore() = default;
  // A consistent read (no resourceVersion given). None: there is no such Lease.
  virtual absl::StatusOr<std::optional<api::Lease>> Read(base::Duration timeout) = 0;
  // Creates it when it has no resource version, else replaces that version. What was stored, with
  // its new version. Aborted, AlreadyExists, NotFound: somebody else was there; anything else: it
  // may or may not have been written.
  virtual absl::StatusOr<api::Lease> Write(const api::Lease& lease, base::Duration timeout) = 0;
};

class Elector final {
 public:
  struct Options {
    ElectorConfig config;
    std::string name;  // label of leader_election_master_status
    // Called on the thread that renews the lease, one at a time: they are quick. `on_stopped`
    // returns when nothing more will be sent; the lease is released after it has.
    std::function<void()> on_started;
    std::function<void(const std::string& reason)> on_stopped;
    std::function<void(const std::string& identity)> on_new_holder = nullptr;
    std::function<void(const std::string& reason)> on_trouble = nullptr;
  };
  // InvalidArgument when the timeouts are in a wrong order. `metrics` may be none.
  static absl::StatusOr<std::unique_ptr<Elector>> Create(Options options,
                                                         std::unique_ptr<LeaseStore> store,
                                                         runtime::Metrics* metrics);
  ~Elector();  // as Stop()
  Elector(const Elector&) = delete;
  Elector& operator=(const Elector&) = delete;

  bool MayWrite() const;
  // What a watch has shown.
  void Seen(api::Lease lease);
  // SIGTERM: ends the right to write, releases the lease, and returns when that is done or a renew
  // deadline has passed. Idempotent.
  void Stop();

 private:
  Elector(Options options, std::unique_ptr<LeaseStore> store, runtime::Metrics* metrics);
  void Decide();
  void Talk();
  // False: finished.
  bool Obey(const ElectorCommand& command);
  void PublishRight();

  const Options options_;
  const std::unique_ptr<LeaseStore> store_;
  const runtime::RealClock clock_;
  runtime::Gauge leads_;
  ElectorMachine machine_;  // the deciding thread's
  // Of base::Time: the right to write ends then. Its least value: there is none.
  std::atomic<base::Time::rep> right_until_;
  // all -> deciding thread, 64, when full: the sender waits.
  runtime::BoundedQueue<ElectorEvent> events_{64, runtime::WhenFull::kBlock};
  // deciding thread -> talking thread, 4, when full: a bug, the machine has one request at a time.
  runtime::BoundedQueue<ElectorCommand> requests_{4, runtime::WhenFull::kBlock};
  std::jthread talking_;
  std::jthread deciding_;
};

}  // namespace muster::kube
