// One worker process: feeds the session with events and obeys its commands.
//
//   network thread --Received--> events --> control thread: Session::Step --> commands
//   training lane  --SlotDone..--> events      commands --> training lane (slots, apply, state)
//   communicator lane --Reduced--> events                 --> communicator lane (ring)
//   disk lane --PartWritten------> events                 --> disk lane (checkpoints, steps.jsonl)
//
// events: all -> control thread, capacity 4,096; when full the producer blocks (nothing may be
// lost, and the control thread never waits for a producer). Only the control thread touches the
// session.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include "operator/api/messages.h"
#include "operator/base/status.h"
#include "operator/base/time.h"
#include "operator/runtime/bounded_queue.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/log.h"
#include "operator/runtime/signals.h"
#include "worker/app/breakpoints.h"
#include "worker/app/job.h"
#include "worker/app/lane.h"
#include "worker/app/options.h"
#include "worker/app/slot_gate.h"
#include "worker/app/test_hooks.h"
#include "worker/app/worker_metrics.h"
#include "worker/checkpoint/writer.h"
#include "worker/comm/ring.h"
#include "worker/comm/tls.h"
#include "worker/nccl/state_share.h"
#include "worker/session/session.h"

namespace muster::rpc {
class CoordinatorClient;
class Credentials;
}  // namespace muster::rpc

namespace muster::app {

// Executes this program again with `family` pinned, once (E3): OpenBLAS chooses its kernels when it
// is loaded. Returns when that was done already, or cannot be.
void PinFamily(const std::string& family);

class Worker {
 public:
  Worker(WorkerOptions options, TestHooks hooks, const runtime::Logger& log,
         runtime::Signals& signals);
  ~Worker();

  // Runs until the session says Exit; returns the exit code. Call once.
  int Run();

 private:
  // A state that has come, by whatever way.
  struct Received {
    base::Step step;
    std::uint64_t digest = 0;
    std::string header, beside;
    std::int64_t bytes = 0;
    double seconds = 0;
    const char* by = "";
  };
  struct CopiedState {
    train::StateHeader header;
    std::uint64_t digest = 0;
  };

  // Control thread.
  absl::Status Begin();
  void Loop();
  void Handle(const session::Event& event);
  void PublishBeat();
  void SendHello(api::FromMember message);
  std::shared_ptr<comm::AbortFlag> FlagOf(base::Epoch epoch);

  void On(const session::Send& c);
  void On(const session::LoadJob& c);
  void On(const session::MakeFreshState& c);
  void On(const session::RestoreState& c);
  void On(const session::ConnectRing& c);
  void On(const session::AbortRing& c);
  void On(const session::ClearSums& c);
  void On(const session::ComputeSlots& c);
  void On(const session::StopCompute& c);
  void On(const session::Reduce& c);
  void On(const session::ApplyStep& c);
  void On(const session::EvaluateShare& c);
  void On(const session::ServeState& c);
  void On(const session::StopServing& c);
  void On(const session::FetchState& c);
  void On(const session::CopyForCheckpoint& c);
  void On(const session::WriteManifest& c);
  void On(const session::PublishCheckpoint& c);
  void On(const session::WriteStepLine& c);
  void On(const session::LearnStepTime& c);
  void On(const session::Exit& c);
  void On(const session::Note& c);

  // Any lane.
  std::optional<std::int32_t> SharingRank(const api::View& view) const;
  void GiveState(const session::ServeState& c, std::int32_t root);

  // Training lane.
  void Load(const api::Welcome& welcome);
  struct BegunSlot {
    api::Slot slot = 0;
    base::Time at;
  };
  void Compute(const session::ComputeSlots& c);
  void BeginSlot(const session::ComputeSlots& c, api::Slot slot);
  base::Time FinishSlot(const session::ComputeSlots& c, const BegunSlot& begun, base::Time before);
  device::DeviceMemory ReadDeviceMemory();
  void LookForLeaks(base::Epoch epoch);
  void RememberStepLine(const session::Applied& applied);
  void FetchByRing(const session::FetchState& c, const std::shared_ptr<comm::AbortFlag>& flag);
  void FetchShared(const session::FetchState& c, std::int32_t root, const comm::AbortFlag& flag);
  void Adopt(base::Epoch epoch, const Received& received);
  // Communicator lane.
  void RunReduction(const session::Reduce& c);
  absl::StatusOr<nccl::StateOffer> RunShare(base::Epoch epoch, base::Step step,
                                            nccl::StateShare share);
  absl::Status InstallNccl(const session::ConnectRing& c);
  absl::Status AllReduceOnDevice(const session::Reduce& c, std::span<const comm::Reduction> parts);
  absl::Status AllReduce(const comm::Reduction& reduction, base::Step step);
  void ReportBrokenRing(base::Epoch epoch, const absl::Status& status);
  // Disk lane.
  absl::StatusOr<checkpoint::ManifestResult> WriteManifest(const session::WriteManifest& c);
  void WriteLines(base::Step step);
  // Other threads.
  void WatchSignals(std::stop_token stop);
  std::optional<api::FromMember> MakeBeat();
  void Push(session::Event event);
  base::Time Now() const;

  const WorkerOptions options_;
  int parent_fd_ = options_.parent_fd;  // until it has been told that we spoke
  const TestHooks hooks_;
  const std::string build_id_;
  const runtime::Logger& log_;
  runtime::Signals& signals_;
  runtime::RealClock clock_;
  Breakpoints breakpoints_;
  WorkerMetrics metrics_;
  runtime::BoundedQueue<session::Event> events_;
  session::Session session_;  // control thread
  SlotGate gate_;
  bool running_ = true;                          // control thread
  int exit_code_ = 0;                            // control thread
  std::shared_ptr<comm::AbortFlag> epoch_flag_;  // control thread; the flag itself is shared
  base::Epoch flag_epoch_;                       // control thread
  std::atomic<std::int32_t> view_size_{0};
  std::atomic<bool> ready_{false};
  // Of a state that is received or read: progress that beats tell while no event happens.
  std::atomic<std::uint64_t> moved_{0};

  std::mutex beat_mutex_;
  api::Heartbeat beat_;              // guarded by beat_mutex_
  base::Epoch beat_epoch_;           // guarded by beat_mutex_
  std::uint64_t beat_sequence_ = 0;  // beat thread

  // What this member shows, on the stream and to its neighbours; safe from every thread, and there
  // from Begin() on. Before the job, whose listener uses them.
  std::unique_ptr<rpc::Credentials> credentials_;
  std::unique_ptr<comm::Tls> tls_;  // null: plain text

  std::unique_ptr<Job> job_;                    // made on the training lane before Loaded is queued
  std::unique_ptr<comm::Ring> ring_;            // communicator lane
  base::Epoch ring_epoch_;                      // communicator lane
  std::shared_ptr<comm::AbortFlag> ring_flag_;  // communicator lane: of ring_'s view
  std::atomic<bool> has_reduced_on_device_{false};
  base::Time last_applied_;  // training lane
  base::Time device_read_;   // training lane
  // Training lane: when the first communicator of NCCL was up.
  std::optional<nccl::Usage> first_usage_;
  std::mutex checkpoint_mutex_;
  std::map<base::Step, CopiedState> copied_states_;  // guarded by checkpoint_mutex_

  std::unique_ptr<rpc::CoordinatorClient> client_;  // after the credentials: it uses them
  Lane training_{"training"};
  Lane communicator_{"communicator"};
  Lane disk_{"disk"};
};

}  // namespace muster::app
