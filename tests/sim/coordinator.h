// A simulated coordinator process: the shipped Machine with its queue, its ticks and its record. It
// can be killed, and it can be stopped and wake up as one of two.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "operator/job/observed.h"
#include "operator/membership/machine.h"
#include "tests/sim/world.h"

namespace muster::sim {

class Cluster;

class Coordinator {
 public:
  Coordinator(Cluster& cluster, int number);

  bool alive() const { return alive_; }
  bool stopped() const { return stopped_; }
  std::string name() const { return "coordinator " + std::to_string(number_); }
  base::WallTime since() const { return since_; }

  void Post(membership::Event event);
  void Kill();
  void StopProcess() { stopped_ = true; }
  void ContinueProcess();

  membership::Snapshot Snapshot() const { return machine_.GetSnapshot(world_.now()); }
  const std::map<base::MemberId, job::Verdict>& evicted() const { return evicted_; }
  // What the plan told it last, and which lost pods it was told of.
  std::int32_t told_desired = -1;
  std::set<base::MemberId> told_lost;

 private:
  void Later(base::Duration delay, std::function<void()> what);
  void Drain();
  void Tick();
  void Obey(const membership::Command& command);
  void MayFence(const membership::Send& send);
  void NoteJoin(const api::View& view);
  void Succeeded(const api::JobResult& result);

  Cluster& cluster_;
  World& world_;
  int number_;
  membership::Machine machine_;
  base::WallTime since_;
  base::Epoch noted_;                    // the newest view that was said
  std::optional<base::Time> joined_at_;  // said, and every view since only took members in
  bool alive_ = true;
  bool stopped_ = false;
  std::deque<membership::Event> inbox_;
  std::vector<std::function<void()>> frozen_;
  std::map<base::MemberId, job::Verdict> evicted_;
};

}  // namespace muster::sim
