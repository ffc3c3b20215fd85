#include "operator/app/operator.h"

#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <variant>

#include "operator/app/gate_streams.h"
#include "operator/app/key_keeper.h"
#include "operator/app/leadership.h"
#include "operator/kube/cpprest_transport.h"
#include "operator/kube/elector.h"
#include "operator/kube/lease_store.h"
#include "operator/runtime/bounded_queue.h"
#include "operator/runtime/entropy.h"
#include "operator/runtime/free_memory.h"
#include "operator/runtime/http_endpoint.h"
#include "operator/runtime/signals.h"

namespace muster::app {
namespace {

constexpr int kMostArenas = 1;  // of malloc
constexpr base::Duration kTidyEvery = std::chrono::seconds(30);

struct Lead {};
struct Follow {
  std::string why;
};
struct Stop {
  int signal = 0;
};
// elector's thread, signals' thread -> main, 16, when full: the sender waits.
using Turn = std::variant<Lead, Follow, Stop>;
using Turns = runtime::BoundedQueue<Turn>;

// Unique to this process, also after its restart under the same name.
std::string Identity() {
  char host[256] = {};
  if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  return std::string(host[0] != '\0' ? host : "muster") + "_" + runtime::RandomToken(8);
}

class Operator final {
 public:
  Operator(OperatorOptions options, const runtime::Logger& log)
      : options_(std::move(options)), log_(log), identity_(Identity()), fleet_(metrics_) {
    metrics_.AddBuildInfo("muster");
  }

  absl::Status Run() {
    kube::CpprestOptions cpprest;
    cpprest.metrics = &metrics_;
    MUSTER_ASSIGN_OR_RETURN(transport_, kube::MakeCpprestTransport(options_.cluster, cpprest));
    client_ = std::make_unique<kube::Client>(*transport_);
    // A connection of its own: a renewal that waits behind a thousand pods costs the leadership.
    cpprest.most_in_flight = 1;
    MUSTER_ASSIGN_OR_RETURN(lease_transport_,
                            kube::MakeCpprestTransport(options_.cluster, cpprest));
    lease_client_ = std::make_unique<kube::Client>(*lease_transport_);
    MUSTER_RETURN_IF_ERROR(Listen());
    MUSTER_RETURN_IF_ERROR(Stand());
    log_.Info("operator", "started",
              {{"identity", identity_}, {"server", options_.cluster.server}});
    return Serve();
  }

  Turns& turns() { return turns_; }

 private:
  absl::Status Listen() {
    runtime::HttpEndpoint::Options options;
    options.host = options_.metrics_host;
    options.port = options_.metrics_port;
    options.metrics = [this] { return metrics_.Text(); };
    options.ready = [this] { return Ready(); };
    MUSTER_ASSIGN_OR_RETURN(endpoint_, runtime::HttpEndpoint::Create(std::move(options)));
    return absl::OkStatus();
  }

  absl::Status Ready() const {
    if (leads_) {
      if (synced_) return absl::OkStatus();
      return base::Unavailable("leads, and has not listed jobs and pods yet");
    }
    if (knows_holder_) return absl::OkStatus();
    return base::Unavailable("the Lease has not been read yet");
  }

  absl::Status Stand() {
    kube::Elector::Options options;
    options.name = kLeaseName;
    options.config.identity = identity_;
    options.config.lease_duration = options_.lease_duration;
    options.config.renew_deadline = options_.renew_deadline;
    options.config.retry_period = options_.retry_period;
    options.config.request_timeout =
        std::min<base::Duration>(options.config.request_timeout, options_.renew_deadline / 2);
    options.config.seed = runtime::RandomNumber();
    options.on_started = [this] { turns_.Push(Lead{}); };
    options.on_stopped = [this](const std::string& why) { turns_.Push(Follow{why}); };
    options.on_new_holder = [this](const std::string& identity) {
      knows_holder_ = true;
      log_.Info("operator", identity.empty() ? "nobody leads" : "leader", {{"identity", identity}});
    };
    options.on_trouble = [this](const std::string& why) {
      log_.Warning("operator", "the Lease", {{"error", why}});
    };
    auto store = std::make_unique<kube::KubeLeaseStore>(*lease_client_,
                                                        kube::ObjectKey{options_.ns, kLeaseName});
    MUSTER_ASSIGN_OR_RETURN(elector_,
                            kube::Elector::Create(std::move(options), std::move(store), &metrics_));
    return absl::OkStatus();
  }

  absl::Status Serve() {
    while (true) {
      auto next = Next();
      if (!next.ok()) {
        elector_->Stop();
        return next.status();
      }
      const std::optional<Turn>& turn = *next;
      if (!turn) continue;
      if (const auto* stop = std::get_if<Stop>(&*turn)) {
        log_.Info("operator", "stops", {{"signal", stop->signal}});
        // The Lease is given up first, so that the next leader need not wait for it.
        elector_->Stop();
        EndLeadership();
        return absl::OkStatus();
      }
      if (const auto* follow = std::get_if<Follow>(&*turn)) {
        log_.Warning("operator", "leads no more", {{"reason", follow->why}});
        EndLeadership();
        continue;
      }
      leads_ = true;
      log_.Info("operator", "leads", {{"identity", identity_}});
    }
  }

  // The next turn; until it comes a leadership is begun that could not be before, and its state is
  // looked at for /readyz.
  absl::StatusOr<std::optional<Turn>> Next() {
    if (leads_ && leadership_ == nullptr) {
      absl::Status begun = BeginLeadership();
      if (begun.code() == absl::StatusCode::kInvalidArgument) return begun;
      if (!begun.ok()) {
        log_.Warning("operator", "cannot begin to lead yet", {{"error", base::Message(begun)}});
      }
    }
    auto turn = turns_.PopUntil(clock_.Now() + std::chrono::milliseconds(100));
    synced_ = leadership_ != nullptr && leadership_->Synced();
    // What a burst has needed: a thousand jobs at once, a leadership that is over.
    if (clock_.Now() >= tidy_at_) {
      runtime::ReturnFreeMemory();
      tidy_at_ = clock_.Now() + kTidyEvery;
    }
    return turn;
  }

  absl::Status BeginLeadership() {
    const auto may_write = [this] { return elector_->MayWrite(); };
    auto keeper = std::make_shared<KeyKeeper>(KeyKeeper::Options{*client_, clock_, options_.ns,
                                                                 options_.worker.coordinators,
                                                                 may_write, options_.authority});
    MUSTER_ASSIGN_OR_RETURN(rpc::GateKeys keys, keeper->Refresh());
    Leadership::Options options{*client_,
                                clock_,
                                log_,
                                metrics_,
                                fleet_,
                                may_write,
                                options_.worker,
                                [keeper] { return keeper->Bundle(); },
                                identity_,
                                options_.watch_namespaces,
                                options_.faults};
    options.audit_dir = options_.audit_dir;
    options.shards = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
    options.make_streams = [this, keeper, keys](StreamCallbacks callbacks) {
      return MakeGateStreams({.address = options_.membership_address,
                              .keys = keys,
                              .fresh_keys = [keeper] { return keeper->Refresh(); },
                              .clock = clock_,
                              .log = log_,
                              .metrics = &metrics_},
                             std::move(callbacks));
    };
    MUSTER_ASSIGN_OR_RETURN(leadership_, Leadership::Begin(std::move(options)));
    return absl::OkStatus();
  }

  void EndLeadership() {
    leads_ = false;
    leadership_.reset();
    synced_ = false;
  }

  const OperatorOptions options_;
  const runtime::Logger& log_;
  const std::string identity_;
  const runtime::RealClock clock_;
  runtime::Metrics metrics_;
  FleetMetrics fleet_;
  Turns turns_{16, runtime::WhenFull::kBlock};
  base::Time tidy_at_;
  std::atomic<bool> leads_ = false;
  std::atomic<bool> synced_ = false;
  std::atomic<bool> knows_holder_ = false;
  std::unique_ptr<kube::HttpTransport> transport_;
  std::unique_ptr<kube::Client> client_;
  std::unique_ptr<kube::HttpTransport> lease_transport_;
  std::unique_ptr<kube::Client> lease_client_;
  std::unique_ptr<kube::Elector> elector_;
  std::unique_ptr<Leadership> leadership_;
  std::unique_ptr<runtime::HttpEndpoint> endpoint_;  // reads what is above until it is gone
};

}  // namespace

int RunOperator(OperatorOptions options) {
  kube::PrepareProcessForHttps();
  // Before any thread. Objects pass from thread to thread and leave holes in each one's arena: sixteen
  // arenas had a third of all memory with 10,000 pods (docs/benchmarks.md).
  mallopt(M_ARENA_MAX, kMostArenas);
  const runtime::Logger log({options.log_format});
  // Before any thread: all of them inherit the mask.
  auto signals = runtime::Signals::Create({SIGTERM, SIGINT});
  if (!signals.ok()) {
    log.Error("operator", base::Message(signals.status()));
    return 1;
  }
  Operator the_operator(std::move(options), log);
  std::jthread watcher([&](std::stop_token stop) {
    while (!stop.stop_requested()) {
      if (auto number = (*signals)->Wait(std::chrono::milliseconds(100))) {
        the_operator.turns().Push(Stop{*number});
      }
    }
  });
  const absl::Status ended = the_operator.Run();
  the_operator.turns().Close();
  if (ended.ok()) return 0;
  log.Error("operator", base::Message(ended));
  return 1;
}

}  // namespace muster::app
