// A pod's first process where it runs several members: obeys the machine with real processes.
//
//   signal thread --SIGTERM, SIGCHLD---------> events --> the caller of Run: Machine::Step --> Children
//   Order(), Reached(), from any thread -----> events                                     --> `tell`
//
// events: capacity 256; when full the pusher waits, since nothing of it may be lost and the machine
// never waits for a pusher. Only the thread of Run touches machine and children, and `tell` runs there.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "operator/base/status.h"
#include "operator/runtime/bounded_queue.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/log.h"
#include "operator/runtime/signals.h"
#include "worker/parent/children.h"
#include "worker/parent/machine.h"

namespace muster::parent {

struct ParentOptions {
  Config config;
  std::string program;                   // of each child, an absolute path
  std::vector<std::string> environment;  // our own, NAME=value
};

// Whether the environment asks for a parent: MUSTER_PROCESSES is there, and is not 1.
bool IsParent(const std::vector<std::string>& environment);

// MUSTER_PROCESSES (2 to 64) and MUSTER_MEMBER (the pod's id). InvalidArgument names the variable, its
// value and what is allowed; also of what a child's environment is made from (child_environment.h).
absl::StatusOr<ParentOptions> ReadParentOptions(std::vector<std::string> environment,
                                                std::string program);

class Parent final {
 public:
  // `signals` has SIGTERM, SIGINT and SIGCHLD. `tell` hears Killed and MemberEnded.
  Parent(ParentOptions options, const runtime::Logger& log, runtime::Signals& signals,
         std::function<void(const Command&)> tell);
  Parent(const Parent&) = delete;
  Parent& operator=(const Parent&) = delete;

  // Until all processes have ended; returns the exit code. Call once.
  int Run();
  // From any thread. A no-op once Run has returned.
  void Order(KillOrder order);
  // The parent's own stream came up, or is gone; likewise.
  void Reached(bool now);

 private:
  struct Caught {
    int signal = 0;
  };
  using Input = std::variant<Caught, KillOrder, Reachable>;

  void WatchSignals(std::stop_token stop);
  void Take(const Input& input);
  void Feed(const Event& event);
  void Listen();
  void Reap();
  void Obey(const Command& command);
  void Start(const Spawn& spawn);

  const ParentOptions options_;
  const runtime::Logger& log_;
  runtime::Signals& signals_;
  const std::function<void(const Command&)> tell_;
  const runtime::RealClock clock_;
  runtime::BoundedQueue<Input> events_;
  Machine machine_;
  Children children_;
  std::vector<Event> failed_;  // spawns that failed, told when the step that asked for them is done
  std::optional<int> exit_code_;
};

}  // namespace muster::parent
