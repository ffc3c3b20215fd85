#include "operator/app/gate_streams.h"

#include <map>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "operator/runtime/bounded_queue.h"
#include "operator/runtime/entropy.h"
#include "operator/runtime/keyed_tasks.h"
#include "operator/runtime/mutex.h"

namespace muster::app {
namespace {

using runtime::MutexLock;
using runtime::TaskResult;

runtime::KeyedTasks::Options ReviewTasks(int threads) {
  runtime::KeyedTasks::Options options;
  options.name = "reviews";
  options.threads = threads;
  options.seed = runtime::RandomNumber();
  return options;
}

class GateStreams final : public StreamServer {
 public:
  GateStreams(GateStreamsOptions options, StreamCallbacks callbacks)
      : options_(std::move(options)),
        callbacks_(std::move(callbacks)),
        reviews_(ReviewTasks(options_.review_threads), options_.clock, options_.metrics) {}
  ~GateStreams() override { Shutdown(); }

  absl::Status Begin() {
    rpc::Gate::Options gate;
    gate.address = options_.address;
    gate.keys = options_.keys;
    gate.rules.admitted_token = kAdmittedToken;
    gate.review = [this](rpc::StreamId stream, std::string token, std::string job,
                         base::MemberId member) {
      reviews_.Put(std::to_string(stream),
                   [this, stream, token = std::move(token),
                    claim = kube::MemberClaim{std::move(job), member}](std::stop_token) {
                     const absl::Status verdict = callbacks_.review(token, claim);
                     if (const auto gate = Gate()) gate->Reviewed(stream, verdict);
                     return TaskResult::kDone;
                   });
    };
    gate.deliver = [this](rpc::StreamId stream, const std::string& job, api::FromMember message) {
      if (!Take(stream, job)) return;
      callbacks_.deliver(job, membership::Received{stream, std::move(message)});
    };
    gate.closed = [this](rpc::StreamId stream, const std::string& job) {
      Forget(stream, job);
      callbacks_.deliver(job, membership::StreamClosed{stream});
    };
    gate.on_refused = [this](const std::string& why) {
      options_.log.Warning("membership", "turned away", {{"reason", why}});
    };
    {
      // A first stream waits for it: nobody else could end it.
      MutexLock lock(mutex_);
      MUSTER_ASSIGN_OR_RETURN(gate_, rpc::Gate::Create(std::move(gate)));
    }
    options_.log.Info("membership", "listens", {{"address", options_.address}});
    refreshing_ = std::jthread([this] { KeepFresh(); });
    return absl::OkStatus();
  }

  void Accept(const std::string& job) override {
    MutexLock lock(mutex_);
    accepted_.try_emplace(job);
  }
  void Refuse(const std::string& job) override {
    std::set<rpc::StreamId> streams;
    {
      MutexLock lock(mutex_);
      if (auto node = accepted_.extract(job); !node.empty()) streams = std::move(node.mapped());
    }
    for (rpc::StreamId stream : streams) CloseStream(stream);
  }
  void Send(membership::StreamId stream, const api::FromCoordinator& message) override {
    if (const auto gate = Gate()) gate->Send(stream, message);
  }
  void CloseStream(membership::StreamId stream) override {
    if (const auto gate = Gate()) gate->CloseStream(stream);
  }
  void Shutdown() override {
    ending_.Close();
    if (refreshing_.joinable()) refreshing_.join();
    // Reviews first: their answers go to the gate.
    reviews_.Stop();
    std::shared_ptr<rpc::Gate> gate;
    {
      MutexLock lock(mutex_);
      gate = std::exchange(gate_, nullptr);
    }
    if (gate) gate->Shutdown(std::chrono::milliseconds(200));
  }

 private:
  std::shared_ptr<rpc::Gate> Gate() const {
    MutexLock lock(mutex_);
    return gate_;
  }

  // False: nobody reigns over the job (yet): the member comes again.
  bool Take(rpc::StreamId stream, const std::string& job) {
    {
      MutexLock lock(mutex_);
      if (auto it = accepted_.find(job); it != accepted_.end()) {
        it->second.insert(stream);
        return true;
      }
    }
    CloseStream(stream);
    return false;
  }
  void Forget(rpc::StreamId stream, const std::string& job) {
    MutexLock lock(mutex_);
    if (auto it = accepted_.find(job); it != accepted_.end()) it->second.erase(stream);
  }

  void KeepFresh() {
    rpc::GateKeys known = options_.keys;
    while (true) {
      ending_.PopUntil(runtime::RealClock().Now() + options_.refresh);
      if (ending_.closed()) return;
      auto keys = options_.fresh_keys();
      absl::Status status = keys.status();
      if (status.ok() && *keys != known) {
        status = Gate()->RenewKeys(*keys);
        if (status.ok()) known = *keys;
        options_.log.Info("membership", "keys are renewed");
      }
      if (!status.ok()) {
        options_.log.Warning("membership", "cannot renew keys", {{"error", base::Message(status)}});
      }
    }
  }

  const GateStreamsOptions options_;
  const StreamCallbacks callbacks_;
  runtime::KeyedTasks reviews_;
  mutable runtime::Mutex mutex_;
  std::shared_ptr<rpc::Gate> gate_ MUSTER_GUARDED_BY(mutex_);
  // By job: the streams that were delivered from.
  std::map<std::string, std::set<rpc::StreamId>> accepted_ MUSTER_GUARDED_BY(mutex_);
  runtime::BoundedQueue<int> ending_{1, runtime::WhenFull::kBlock};  // only ever closed
  std::jthread refreshing_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StreamServer>> MakeGateStreams(GateStreamsOptions options,
                                                              StreamCallbacks callbacks) {
  auto streams = std::make_unique<GateStreams>(std::move(options), std::move(callbacks));
  MUSTER_RETURN_IF_ERROR(streams->Begin());
  return std::unique_ptr<StreamServer>(std::move(streams));
}

}  // namespace muster::app
