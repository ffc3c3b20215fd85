#include "operator/app/leadership.h"

#include <atomic>
#include <utility>

#include "operator/app/shard.h"
#include "operator/kube/informer.h"
#include "operator/kube/labels.h"
#include "operator/runtime/entropy.h"
#include "operator/runtime/free_memory.h"

namespace muster::app {
namespace {

// A pod that has just begun may be unknown to the cache; its member asks again anyway.
constexpr base::Duration kReviewTimeout = std::chrono::seconds(5);

runtime::KeyedTasks::Options TaskOptions(const char* name, int threads) {
  runtime::KeyedTasks::Options options;
  options.name = name;
  options.threads = threads;
  options.seed = runtime::RandomNumber();
  return options;
}

}  // namespace

struct Leadership::Impl {
  explicit Impl(Options o)
      : options(std::move(o)),
        writes(TaskOptions("writes", options.write_threads), options.clock, &options.metrics),
        records(TaskOptions("records", options.record_threads), options.clock, &options.metrics) {}

  ~Impl() {
    // Whoever pushes into a shard stops waiting, then stops pushing, then the shards may go.
    for (auto& shard : shards) shard->Close();
    jobs.clear();
    pods.clear();
    nodes.reset();
    if (streams) streams->Shutdown();
    records.Stop();
    writes.Stop();
    shards.clear();
  }

  absl::Status Begin() {
    StreamCallbacks callbacks;
    callbacks.deliver = [this](const std::string& uid, membership::Event event) {
      ShardOf(uid).Post({uid, Input(std::move(event))});
    };
    callbacks.review = [this](const std::string& token, const kube::MemberClaim& claim) {
      return Review(token, claim);
    };
    MUSTER_ASSIGN_OR_RETURN(streams, options.make_streams(std::move(callbacks)));
    services = std::make_unique<KubeServices>(
        KubeServices{{options.client, options.may_write, options.worker, options.ca_bundle,
                      options.instance, options.log, options.clock},
                     writes,
                     records,
                     *streams});
    for (int i = 0; i < options.shards; ++i) {
      shards.push_back(std::make_unique<Shard>(
          Shard::Options{*services, options.fleet, options.audit_dir, options.repair_every}));
    }
    const std::vector<std::string> everywhere = {""};
    const auto& namespaces = options.namespaces.empty() ? everywhere : options.namespaces;
    to_sync = 2 * static_cast<int>(namespaces.size()) + 1;
    nodes = WatchNodes();
    for (const std::string& ns : namespaces) {
      jobs.push_back(WatchJobs(ns));
      pods.push_back(WatchPods(ns));
    }
    begun = true;
    return absl::OkStatus();
  }

  Shard& ShardOf(const std::string& uid) {
    return *shards[std::hash<std::string>()(uid) % shards.size()];
  }

  template <typename T>
  kube::InformerOptions<T> Informing(const kube::Resource& resource, const std::string& ns) {
    kube::InformerOptions<T> informing;
    informing.list_watch.resource = resource;
    informing.list_watch.ns = ns;
    informing.seed = runtime::RandomNumber();
    informing.on_synced = [this] {
      if (--to_sync > 0) return;
      for (auto& shard : shards) shard->Post({"", ListsComplete{}});
      synced = true;
      runtime::ReturnFreeMemory();  // that the lists' pages took
    };
    informing.on_problem = [this, kind = std::string(resource.plural)](const std::string& problem) {
      options.log.Warning("kube", "watching " + kind, {{"error", problem}});
    };
    return informing;
  }

  std::unique_ptr<kube::Informer<kube::JobRecord>> WatchJobs(const std::string& ns) {
    auto informing = Informing<kube::JobRecord>(kube::kTrainingJobs, ns);
    informing.project = kube::ProjectJob;
    informing.on_delta = [this](const kube::Delta<kube::JobRecord>& delta) {
      if (delta.removed()) {
        const std::string& uid = delta.before->Uid();
        ShardOf(uid).Post({uid, JobGone{}});
      } else {
        const std::string& uid = delta.after->Uid();
        ShardOf(uid).Post({uid, JobSeen{delta.after}});
      }
    };
    return std::make_unique<kube::Informer<kube::JobRecord>>(options.client, options.clock,
                                                             std::move(informing));
  }

  std::unique_ptr<kube::Informer<kube::PodRecord>> WatchPods(const std::string& ns) {
    auto informing = Informing<kube::PodRecord>(kube::kPods, ns);
    informing.list_watch.label_selector = kube::kWorkerPodSelector;
    informing.project = kube::ProjectPod;
    informing.on_delta = [this](const kube::Delta<kube::PodRecord>& delta) {
      // Somebody's pod with our labels and no owner is not ours.
      const std::string uid = kube::ControllerOf(delta);
      if (uid.empty()) return;
      ShardOf(uid).Post({uid, Input(kube::ChangeOfPod(delta))});
    };
    return std::make_unique<kube::Informer<kube::PodRecord>>(options.client, options.clock,
                                                             std::move(informing));
  }

  std::unique_ptr<kube::Informer<kube::NodeRecord>> WatchNodes() {
    auto informing = Informing<kube::NodeRecord>(kube::kNodes, "");
    informing.project = [](const kube::Json& object) { return kube::ProjectNode(object, ""); };
    informing.on_delta = [this](const kube::Delta<kube::NodeRecord>& delta) {
      const job::Change change = kube::ChangeOfNode(delta, options.signs);
      for (auto& shard : shards) {
        shard->Post({"", NodeSeen{std::get<job::NodeChanged>(change).node}});
      }
    };
    return std::make_unique<kube::Informer<kube::NodeRecord>>(options.client, options.clock,
                                                              std::move(informing));
  }

  absl::Status Review(const std::string& token, const kube::MemberClaim& claim) {
    if (!begun || !synced) return base::Unavailable("the pods are not listed yet");
    const std::string& audience = options.worker.token_audience;
    MUSTER_ASSIGN_OR_RETURN(const kube::TokenReview review,
                            options.client.ReviewToken(token, {audience}, {kReviewTimeout}));
    MUSTER_ASSIGN_OR_RETURN(const kube::TokenPod pod, kube::PodOfToken(review, audience));
    kube::StoredPtr<kube::PodRecord> known;
    for (const auto& informer : pods) {
      if (known == nullptr) known = informer->store().Find(pod.key);
    }
    return kube::CheckClaim(pod, known.get(), claim);
  }

  const Options options;
  runtime::KeyedTasks writes;
  runtime::KeyedTasks records;
  std::unique_ptr<StreamServer> streams;
  std::unique_ptr<KubeServices> services;
  std::vector<std::unique_ptr<Shard>> shards;
  std::atomic<int> to_sync = 0;
  std::atomic<bool> synced = false;
  std::atomic<bool> begun = false;  // `pods` changes no more
  std::vector<std::unique_ptr<kube::Informer<kube::JobRecord>>> jobs;
  std::vector<std::unique_ptr<kube::Informer<kube::PodRecord>>> pods;
  std::unique_ptr<kube::Informer<kube::NodeRecord>> nodes;
};

absl::StatusOr<std::unique_ptr<Leadership>> Leadership::Begin(Options options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  MUSTER_RETURN_IF_ERROR(impl->Begin());
  return std::unique_ptr<Leadership>(new Leadership(std::move(impl)));
}

Leadership::Leadership(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Leadership::~Leadership() = default;

bool Leadership::Synced() const { return impl_->synced; }

}  // namespace muster::app
