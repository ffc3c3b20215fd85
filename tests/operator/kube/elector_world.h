// Several electors, one Lease, and everything between them, on one seed: clocks that run at
// different rates, requests that are late or lost or land after they were given up, processes that
// are frozen, killed and asked to stop. Simulated time; nothing waits.
//
// It looks after every event whether two processes may write at that instant.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "operator/kube/elector_machine.h"

namespace muster::kube {

struct ElectorFaults {
  double lost = 0;  // chance that a request, and that an answer, is lost
  double late = 0;  // chance that a request is under way for up to 8 s
  base::Duration delay = std::chrono::milliseconds(20);  // of each way, at most
  bool watch = false;  // followers see changes by a watch as well, late by up to 2 s
  double slowest = 1;  // clock rates are in [slowest, fastest]
  double fastest = 1;
};

class ElectorWorld final {
 public:
  ElectorWorld(std::uint64_t seed, ElectorFaults faults);

  // Returns its index.
  std::size_t Start();
  void Kill(std::size_t process);
  void Stop(std::size_t process);
  void Freeze(std::size_t process, base::Duration real);
  void RunUntil(base::Time real);
  void SetFaults(ElectorFaults faults) { faults_ = faults; }

  base::Time now() const { return now_; }
  // Whoever may write now; -1: nobody.
  int Leader() const;
  bool Alive(std::size_t process) const { return processes_[process].alive; }
  std::size_t processes() const { return processes_.size(); }
  // Sentences: two might write at once, or one leads on after another had the right.
  const std::vector<std::string>& violations() const { return violations_; }
  // Real instants at which somebody began to lead.
  const std::vector<base::Time>& begun() const { return begun_; }

 private:
  struct Process {
    std::unique_ptr<ElectorMachine> machine;
    double rate = 1;
    base::Duration offset{0};
    bool alive = true;
    bool overtaken = false;  // another had the right to write since it began to lead
    base::Time frozen_until;
    std::uint64_t request = 0;  // the newest; answers to older ones are too late
  };
  using Action = std::function<void()>;

  base::Time Local(const Process& process, base::Time real) const;
  base::Time Real(const Process& process, base::Time local) const;
  void At(base::Time real, Action action);
  void Give(std::size_t process, ElectorEvent event);
  void Obey(std::size_t process, const ElectorCommand& command);
  void Send(std::size_t process, base::Duration timeout, std::function<ElectorEvent()> serve,
            ElectorEvent unknown);
  LeaseWritten Store(const api::Lease& lease);
  base::Duration Delay();
  bool Chance(double p) { return random_.Uniform() < p; }
  void Look();

  base::SplitMix random_;
  ElectorFaults faults_;
  base::Time now_{};
  std::uint64_t order_ = 0;
  std::map<std::pair<base::Time, std::uint64_t>, Action> agenda_;
  std::vector<Process> processes_;
  api::Lease lease_;  // no resource version: there is none
  std::uint64_t version_ = 0;
  std::vector<std::string> violations_;
  std::vector<base::Time> begun_;
};

}  // namespace muster::kube
