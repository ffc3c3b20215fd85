// The requests that one job's environment makes of an API server. Each blocks its caller, a task's
// thread, and says whether it is to be made again.
//
// Safe from every thread. Nothing is sent while this process does not lead.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/app/environment.h"
#include "operator/app/record_store.h"
#include "operator/kube/apply.h"
#include "operator/kube/client.h"
#include "operator/kube/job_history.h"
#include "operator/kube/job_objects.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/keyed_tasks.h"
#include "operator/runtime/log.h"
#include "operator/runtime/mutex.h"

namespace muster::app {

// What the requests of all jobs share; it outlives them.
struct KubeAccess {
  const kube::Client& client;
  // Asked immediately before each request: does this process still lead?
  std::function<bool()> may_write;
  kube::WorkerPodSettings worker;
  // Whom members believe, as it is now.
  std::function<std::string()> ca_bundle;
  std::string instance;  // of this operator, in Events
  const runtime::Logger& log;
  const runtime::Clock& clock;
};

// A job's object by its kind and name, and its body by a hash.
std::string NameOf(const kube::JobObject& object);
std::size_t HashOf(const kube::JobObject& object);

class KubeRequests final {
 public:
  using Job = std::shared_ptr<const api::TrainingJob>;

  // `objects_hash` is what the status says of the objects beside the pods.
  KubeRequests(const KubeAccess& access, std::shared_ptr<RecordStore> store,
               std::function<void(Input)> post, std::string objects_hash)
      : access_(access),
        store_(std::move(store)),
        post_(std::move(post)),
        objects_hash_(std::move(objects_hash)) {}

  runtime::TaskResult CreatePod(const Job& job, const job::CreatePod& wanted,
                                const std::string& image, std::stop_token stop);
  runtime::TaskResult DeletePod(const Job& job, const job::DeletePod& wanted, std::stop_token stop);
  // Statuses are numbered from 1 in the order in which they are wanted; some are left out. Their
  // objectsHash is the word for what is applied by then.
  runtime::TaskResult WriteStatus(const Job& job, const api::TrainingJobStatus& status,
                                  std::int64_t number, std::stop_token stop);
  // Calls `then` at once, or when this status, or a later one, is written or has become pointless.
  // Of one key only the newest is called.
  void AfterStatus(std::int64_t number, const std::string& key, std::function<void()> then);
  bool WaitsForStatus(const std::string& key) const;
  runtime::TaskResult DeleteJob(const Job& job, const job::Verdict& why, std::stop_token stop);
  // Applied, or (`gone`) deleted.
  runtime::TaskResult PutObject(const kube::JobObject& object, bool gone, std::stop_token stop);
  // These objects are wanted as well, by name with a hash of their bodies; `word` stands for all that are
  // wanted now.
  void ExpectObjects(std::string word, const std::map<std::string, std::size_t>& objects);
  // Calls `again` once if all that was expected comes to be applied after a status was written that could
  // not say so. Of several the newest is called.
  void WhenObjectsApplied(std::function<void()> again);
  // What is new in the status is remembered for the job's history. True: it is time to write it.
  bool SeeHistory(const api::TrainingJobStatus& status);
  runtime::TaskResult WriteHistory(const Job& job, std::stop_token stop);
  // Answered by membership::Persisted, once.
  void Persist(const membership::Persist& persist);
  // Those that are ready, in their order.
  runtime::TaskResult PostEvents(std::stop_token stop);

  // Events wait here: for their turn, or (held) for the status that they tell of.
  void AddEvents(std::vector<kube::EventNote> events);
  void HoldEvents(std::vector<kube::EventNote> events);

 private:
  // Costs nothing while it is empty, as it nearly always is.
  using Events = std::list<kube::EventNote>;

  runtime::TaskResult Settle(const absl::Status& status, const std::string& what) const;
  runtime::TaskResult ApplyStatus(const Job& job, api::TrainingJobStatus status,
                                  std::stop_token stop);
  // The objects' word once all of them are applied; before, what the status said.
  std::string ObjectsHash();
  void OnApplied(const kube::JobObject& object);
  absl::Status PatchHistory(const Job& job, const std::string& patch, const kube::Call& call);
  void ReleaseEvents();
  std::optional<kube::EventNote> NextEvent();

  const KubeAccess& access_;
  const std::shared_ptr<RecordStore> store_;
  const std::function<void(Input)> post_;
  mutable runtime::Mutex mutex_;
  struct Waiting {
    std::int64_t number = 0;
    std::function<void()> then;
  };
  std::int64_t status_done_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::map<std::string, Waiting> after_status_ MUSTER_GUARDED_BY(mutex_);
  std::string objects_word_ MUSTER_GUARDED_BY(mutex_);
  std::map<std::string, std::size_t> objects_missing_ MUSTER_GUARDED_BY(mutex_);
  std::string objects_hash_ MUSTER_GUARDED_BY(mutex_);  // in the status, as written last
  std::function<void()> status_again_ MUSTER_GUARDED_BY(mutex_);
  kube::JobHistory history_ MUSTER_GUARDED_BY(mutex_);
  std::optional<base::Time> history_written_ MUSTER_GUARDED_BY(mutex_);
  Events held_ MUSTER_GUARDED_BY(mutex_);
  Events ready_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::app
