#include "operator/app/kube_requests.h"

#include <algorithm>
#include <utility>

#include "operator/job/reasons.h"
#include "operator/job/rules.h"
#include "operator/kube/changes.h"
#include "operator/kube/job_events.h"
#include "operator/kube/status_apply.h"

namespace muster::app {
namespace {

using runtime::MutexLock;
using runtime::TaskResult;

// A request that hangs longer is made again on another connection.
constexpr base::Duration kRequestTimeout = std::chrono::seconds(10);
// Older ones are forgotten when so many wait: what they say is in status and log as well.
constexpr std::size_t kMostEvents = 128;

// The history is for people who look back: changes that come together are one write, and what is
// not written when an operator dies is in the status.
constexpr base::Duration kHistoryAfterNews = std::chrono::seconds(5);
constexpr base::Duration kHistoryOfProgress = std::chrono::minutes(1);

kube::Call CallUntil(std::stop_token stop) { return {kRequestTimeout, std::move(stop)}; }

// Nothing was said about the request itself: the next try may succeed.
bool IsPassing(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kUnauthenticated:
      return true;
    default:
      return false;
  }
}

template <typename Notes>
void Append(std::list<kube::EventNote>& to, Notes& notes) {
  for (kube::EventNote& note : notes) to.push_back(std::move(note));
  while (to.size() > kMostEvents) to.pop_front();
}

}  // namespace

TaskResult KubeRequests::Settle(const absl::Status& status, const std::string& what) const {
  if (status.ok() || status.code() == absl::StatusCode::kCancelled) return TaskResult::kDone;
  access_.log.Warning("kube", what, {{"error", base::Message(status)}});
  return IsPassing(status.code()) ? TaskResult::kRetry : TaskResult::kDone;
}

std::string NameOf(const kube::JobObject& object) {
  return std::string(object.resource.plural) + "/" + object.key.name;
}

std::size_t HashOf(const kube::JobObject& object) { return std::hash<std::string>()(object.body); }

TaskResult KubeRequests::CreatePod(const Job& job, const job::CreatePod& wanted,
                                   const std::string& image, std::stop_token stop) {
  kube::WorkerPodSettings settings = access_.worker;
  if (!image.empty()) settings.image = image;
  settings.ca_config_map = kube::CaConfigMapName(*job);
  settings.avoid_nodes = wanted.avoid_nodes;
  const auto body = kube::MakePodBody(*job, wanted, settings);
  if (!body.ok()) {
    post_(Input(
        job::Change(job::PodRefused{wanted.name, wanted.member, job::reasons::kTemplateRefused,
                                    base::Message(body.status())})));
    return Settle(body.status(), "cannot make pod " + wanted.name);
  }
  if (!access_.may_write()) return TaskResult::kRetry;
  const auto made =
      access_.client.Create(kube::kPods, job->ns, *body, false, CallUntil(std::move(stop)));
  // The name says which pod it is: one that is there is this one.
  if (made.status().code() == absl::StatusCode::kAlreadyExists) return TaskResult::kDone;
  if (made.ok()) {
    const kube::EventSource source{*job, access_.instance, access_.clock.WallNow()};
    AddEvents({kube::EventOfCreate(source, wanted)});
  }
  if (auto refused = kube::RefusalOf(wanted, made.status())) {
    post_(Input(job::Change(*std::move(refused))));
  }
  return Settle(made.status(), "cannot create pod " + wanted.name);
}

TaskResult KubeRequests::DeletePod(const Job& job, const job::DeletePod& wanted,
                                   std::stop_token stop) {
  if (!access_.may_write()) return TaskResult::kRetry;
  kube::DeleteOptions options;
  options.uid = wanted.uid;
  if (wanted.force) options.grace_seconds = 0;
  const absl::Status gone = access_.client.Delete(kube::kPods, {job->ns, wanted.name}, options,
                                                  CallUntil(std::move(stop)));
  // Gone, or another one by now: what was to be deleted is not there.
  if (gone.code() == absl::StatusCode::kNotFound || gone.code() == absl::StatusCode::kAborted) {
    return TaskResult::kDone;
  }
  if (gone.ok()) {
    const kube::EventSource source{*job, access_.instance, access_.clock.WallNow()};
    AddEvents({kube::EventOfDelete(source, wanted)});
  }
  return Settle(gone, "cannot delete pod " + wanted.name);
}

TaskResult KubeRequests::WriteStatus(const Job& job, const api::TrainingJobStatus& status,
                                     std::int64_t number, std::stop_token stop) {
  const TaskResult result = ApplyStatus(job, status, std::move(stop));
  if (result == TaskResult::kRetry) return result;
  std::vector<std::function<void()>> ready;
  {
    MutexLock lock(mutex_);
    status_done_ = std::max(status_done_, number);
    for (auto it = after_status_.begin(); it != after_status_.end();) {
      const bool waits = it->second.number > status_done_;
      if (!waits) ready.push_back(std::move(it->second.then));
      it = waits ? std::next(it) : after_status_.erase(it);
    }
  }
  for (const auto& then : ready) then();
  return result;
}

void KubeRequests::AfterStatus(std::int64_t number, const std::string& key,
                               std::function<void()> then) {
  {
    MutexLock lock(mutex_);
    if (number > status_done_) {
      after_status_.insert_or_assign(key, Waiting{number, std::move(then)});
      return;
    }
  }
  then();
}

bool KubeRequests::WaitsForStatus(const std::string& key) const {
  MutexLock lock(mutex_);
  return after_status_.contains(key);
}

TaskResult KubeRequests::ApplyStatus(const Job& job, api::TrainingJobStatus status,
                                     std::stop_token stop) {
  if (!access_.may_write()) return TaskResult::kRetry;
  status.objects_hash = ObjectsHash();
  kube::ApplyOptions options;
  options.field_manager = kube::kStatusManager;
  options.subresource = "status";
  const auto written = access_.client.Apply(kube::kTrainingJobs, {job->ns, job->name},
                                            kube::StatusApplyBody(*job, status), options,
                                            CallUntil(std::move(stop)));
  if (written.ok()) {
    ReleaseEvents();
    MutexLock lock(mutex_);
    objects_hash_ = status.objects_hash;
    if (objects_hash_ == objects_word_) status_again_ = nullptr;
  }
  // The job is gone, or another has its name: nobody wants this status.
  if (written.status().code() == absl::StatusCode::kNotFound ||
      written.status().code() == absl::StatusCode::kAborted) {
    return TaskResult::kDone;
  }
  return Settle(written.status(), "cannot write the status of " + job->ns + "/" + job->name);
}

TaskResult KubeRequests::DeleteJob(const Job& job, const job::Verdict& why, std::stop_token stop) {
  if (!access_.may_write()) return TaskResult::kRetry;
  access_.log.Info("plan", "delete job " + job->ns + "/" + job->name,
                   {{"reason", why.reason}, {"why", why.message}});
  kube::DeleteOptions options;
  options.uid = job->uid;
  options.propagation = kube::Propagation::kBackground;
  const absl::Status gone = access_.client.Delete(kube::kTrainingJobs, {job->ns, job->name},
                                                  options, CallUntil(std::move(stop)));
  if (gone.code() == absl::StatusCode::kNotFound || gone.code() == absl::StatusCode::kAborted) {
    return TaskResult::kDone;
  }
  return Settle(gone, "cannot delete job " + job->ns + "/" + job->name);
}

TaskResult KubeRequests::PutObject(const kube::JobObject& object, bool gone, std::stop_token stop) {
  if (!access_.may_write()) return TaskResult::kRetry;
  const std::string what = std::string(object.resource.kind) + " " + kube::ToString(object.key);
  if (gone) {
    const absl::Status deleted =
        access_.client.Delete(object.resource, object.key, {}, CallUntil(std::move(stop)));
    if (deleted.code() == absl::StatusCode::kNotFound) return TaskResult::kDone;
    return Settle(deleted, "cannot delete " + what);
  }
  const auto applied = access_.client.Apply(object.resource, object.key, object.body, {},
                                            CallUntil(std::move(stop)));
  if (applied.ok()) OnApplied(object);
  return Settle(applied.status(), "cannot apply " + what);
}

void KubeRequests::ExpectObjects(std::string word,
                                 const std::map<std::string, std::size_t>& objects) {
  MutexLock lock(mutex_);
  objects_word_ = std::move(word);
  for (const auto& [name, hash] : objects) objects_missing_.insert_or_assign(name, hash);
}

std::string KubeRequests::ObjectsHash() {
  MutexLock lock(mutex_);
  return objects_missing_.empty() ? objects_word_ : objects_hash_;
}

void KubeRequests::WhenObjectsApplied(std::function<void()> again) {
  MutexLock lock(mutex_);
  if (!objects_missing_.empty()) status_again_ = std::move(again);
}

void KubeRequests::OnApplied(const kube::JobObject& object) {
  std::function<void()> again;
  {
    MutexLock lock(mutex_);
    const auto missing = objects_missing_.find(NameOf(object));
    // One that was wanted before and came late is not the one that is waited for.
    if (missing == objects_missing_.end() || missing->second != HashOf(object)) return;
    objects_missing_.erase(missing);
    if (objects_missing_.empty()) again = std::exchange(status_again_, nullptr);
  }
  if (again) again();
}

bool KubeRequests::SeeHistory(const api::TrainingJobStatus& status) {
  const base::Time now = access_.clock.Now();
  MutexLock lock(mutex_);
  history_.See(status, access_.clock.WallNow());
  if (!history_.HasEntries()) return false;
  if (!history_written_) history_written_ = now;
  const base::Duration every = history_.HasNews() ? kHistoryAfterNews : kHistoryOfProgress;
  // Of a job that stands still nothing follows with which this could be written.
  const bool last = job::IsTerminal(status.state) || status.state == api::JobState::kSuspended;
  if (!last && now - *history_written_ < every) return false;
  history_written_ = now;
  return true;
}

TaskResult KubeRequests::WriteHistory(const Job& job, std::stop_token stop) {
  if (!access_.may_write()) return TaskResult::kRetry;
  std::string patch;
  {
    MutexLock lock(mutex_);
    if (!history_.HasEntries()) return TaskResult::kDone;
    patch = history_.TakePatch();
  }
  const absl::Status written = PatchHistory(job, patch, CallUntil(std::move(stop)));
  if (!written.ok()) {
    MutexLock lock(mutex_);
    history_.PutBack();
  }
  return Settle(written, "cannot write the history of " + job->ns + "/" + job->name);
}

absl::Status KubeRequests::PatchHistory(const Job& job, const std::string& patch,
                                        const kube::Call& call) {
  const kube::JobObject object = kube::MakeHistoryObject(*job);
  auto written = access_.client.PatchMerge(object.resource, object.key, "", patch, call);
  if (written.status().code() == absl::StatusCode::kNotFound) {
    MUSTER_RETURN_IF_ERROR(
        access_.client.Apply(object.resource, object.key, object.body, {}, call).status());
    written = access_.client.PatchMerge(object.resource, object.key, "", patch, call);
  }
  MUSTER_RETURN_IF_ERROR(written.status());
  MUSTER_ASSIGN_OR_RETURN(const auto prune, kube::MakePrunePatch(*written, {}));
  if (!prune) return absl::OkStatus();
  return access_.client.PatchMerge(object.resource, object.key, "", *prune, call).status();
}

void KubeRequests::Persist(const membership::Persist& persist) {
  membership::Persisted persisted;
  persisted.outcome = access_.may_write()
                          ? store_->Persist(persist.expected, persist.next, &persisted.current)
                          : api::PersistOutcome::kUnknown;
  post_(Input(membership::Event(std::move(persisted))));
}

TaskResult KubeRequests::PostEvents(std::stop_token stop) {
  while (auto event = NextEvent()) {
    if (stop.stop_requested()) return TaskResult::kDone;
    if (!access_.may_write()) return TaskResult::kRetry;
    const absl::Status posted = access_.client.PostEvent(*event, CallUntil(stop));
    const TaskResult result = Settle(posted, "cannot post an Event");
    if (result == TaskResult::kRetry) return result;
    MutexLock lock(mutex_);
    // Unless it was forgotten meanwhile.
    if (!ready_.empty() && ready_.front().name == event->name) ready_.pop_front();
  }
  return TaskResult::kDone;
}

void KubeRequests::AddEvents(std::vector<kube::EventNote> events) {
  MutexLock lock(mutex_);
  Append(ready_, events);
}

void KubeRequests::HoldEvents(std::vector<kube::EventNote> events) {
  MutexLock lock(mutex_);
  Append(held_, events);
}

void KubeRequests::ReleaseEvents() {
  MutexLock lock(mutex_);
  Append(ready_, held_);
  held_.clear();
}

std::optional<kube::EventNote> KubeRequests::NextEvent() {
  MutexLock lock(mutex_);
  if (ready_.empty()) return std::nullopt;
  return ready_.front();
}

}  // namespace muster::app
