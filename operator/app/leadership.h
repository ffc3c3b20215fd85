// All that a process does while it leads: it watches jobs and pods, reigns over each job, and
// listens for their members.
//
//   informers --JobSeen, PodChanged--> shards' inboxes      (each shard a thread, jobs by uid)
//   streams   --Received, Closed-----> shards' inboxes
//   shards    --requests-------------> tasks (threads that block) --Persisted--> shards' inboxes
//   shards    --messages-------------> streams
//
// Its end is the end of all of these: streams are closed, training goes on by itself, and the next
// leader takes over from what is stored.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "operator/app/fleet_metrics.h"
#include "operator/app/kube_environment.h"
#include "operator/kube/changes.h"
#include "operator/kube/client.h"
#include "operator/kube/token_check.h"
#include "operator/runtime/metrics.h"

namespace muster::app {

// The listening side of members' streams.
class StreamServer : public MemberStreams {
 public:
  // Stops listening and ends every stream; nothing is delivered afterwards.
  virtual void Shutdown() = 0;
};
struct StreamCallbacks {
  // From any thread; it may wait.
  std::function<void(const std::string& job_uid, membership::Event event)> deliver;
  // Is it the token of this member's pod? Blocks for requests. Not OK: says what is wrong;
  // Unavailable: nobody knows now.
  std::function<absl::Status(const std::string& token, const kube::MemberClaim& claim)> review;
};

class Leadership final {
 public:
  struct Options {
    const kube::Client& client;
    const runtime::Clock& clock;
    const runtime::Logger& log;
    runtime::Metrics& metrics;
    FleetMetrics& fleet;
    std::function<bool()> may_write;
    kube::WorkerPodSettings worker = {};
    std::function<std::string()> ca_bundle = {};  // PEM; whom members believe
    std::string instance = {};
    std::vector<std::string> namespaces = {};             // empty: all
    kube::FaultSigns signs = {};                          // of broken hardware
    std::string audit_dir = {};                           // empty: no audit
    base::Duration repair_every = std::chrono::hours(1);  // of each job's objects
    int shards = 2;
    int write_threads = 16;
    int record_threads = 8;
    std::function<absl::StatusOr<std::unique_ptr<StreamServer>>(StreamCallbacks)> make_streams = {};
  };
  // Begins at once. Not OK: the streams' server could not be made.
  static absl::StatusOr<std::unique_ptr<Leadership>> Begin(Options options);
  ~Leadership();
  Leadership(const Leadership&) = delete;
  Leadership& operator=(const Leadership&) = delete;

  // Jobs and pods were listed: what is done now is done with open eyes.
  bool Synced() const;

 private:
  struct Impl;
  explicit Leadership(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::app
