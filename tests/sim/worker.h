// A simulated worker process: the shipped Session, its threads, its stream; it can be killed,
// stopped and continued. A stopped process does nothing, and then everything that waited, in order.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/disk.h"
#include "tests/sim/network.h"
#include "tests/sim/numbers.h"
#include "tests/sim/ring.h"
#include "tests/sim/training_thread.h"
#include "tests/sim/world.h"
#include "worker/session/session.h"

namespace muster::sim {

class Cluster;

class Worker {
 public:
  Worker(Cluster& cluster, base::MemberId id, std::string node);

  base::MemberId id() const { return id_; }
  std::string name() const { return "worker " + base::ToString(id_); }
  const std::string& node() const { return node_; }
  bool alive() const { return alive_; }
  bool stopped() const { return stopped_; }
  std::optional<int> exit_code() const { return exit_code_; }  // none: killed, or alive
  const session::Session& session() const { return session_; }
  const TrainingThread& training() const { return training_; }

  void Kill();
  void StopProcess();
  void ContinueProcess();
  void Term(double grace_seconds);
  void CutOff(base::Duration time);  // its stream breaks and cannot be opened again for a while
  base::Time cut_off_until() const { return cut_off_until_; }

  // The network.
  std::uint64_t stream() const { return *stream_; }
  void Opened(std::uint64_t stream);
  void Closed(std::uint64_t stream);
  void Heard(std::uint64_t stream, const api::FromCoordinator& message);

  // Its own threads.
  void Post(session::Event event);
  // After `delay` unless it dies; a stopped process catches up when it continues.
  void Later(base::Duration delay, std::function<void()> what);
  void Result(const session::Reduced& outcome, const Sum& whole);
  void Committed(const ModelState& state);
  void WritePart(const session::CopyForCheckpoint& order, std::uint64_t digest);

  // State transfer.
  const ModelState* Serving(base::Epoch epoch) const;
  const std::set<std::int64_t>& lines() const { return lines_; }

 private:
  void Beat();
  void Tick();
  void DialAgain();
  void Drain();
  void Obey(const session::Command& command);
  void ObeyShell(const session::Command& command);
  void Exit(const session::Exit& exit);
  void MayAbort(const session::Event& event, const session::Commands& commands);
  void MayWrite(const std::string& what);
  void WriteManifest(const session::WriteManifest& order);
  void Fetch(const api::View& view, std::uint64_t fetch, base::Time began);
  void Call(CollectiveKind kind, base::Epoch epoch, const session::Reduce& reduce,
            base::Step evaluated);

  Cluster& cluster_;
  World& world_;
  base::MemberId id_;
  std::string node_;
  session::Session session_;
  TrainingThread training_;
  bool alive_ = true;
  bool stopped_ = false;
  std::optional<int> exit_code_;
  std::deque<session::Event> inbox_;
  std::vector<std::function<void()>> frozen_;
  std::optional<std::uint64_t> stream_;
  base::Epoch aborted_;  // the last ring that it gave up
  base::Time cut_off_until_;
  base::Term term_;
  base::Time heard_;  // anything, on this stream
  std::uint64_t beats_ = 0;
  std::uint64_t fetch_ = 0;  // number of the fetch in progress; 0: none
  std::uint64_t fetches_ = 0;
  std::int64_t views_ = 0;  // rings of which it was a part
  std::optional<session::ServeState> serving_;
  std::set<std::int64_t> lines_;  // steps whose line it remembers
  std::int64_t lines_due_ = 0;    // up to which its disk lane writes them
};

}  // namespace muster::sim
