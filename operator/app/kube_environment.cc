#include "operator/app/kube_environment.h"

#include <functional>
#include <utility>

#include "operator/base/sha256.h"
#include "operator/job/rules.h"
#include "operator/kube/job_events.h"
#include "operator/kube/status_apply.h"

namespace muster::app {

using runtime::TaskResult;

namespace {
constexpr std::size_t kGone = 0;  // instead of a body's hash
}  // namespace

KubeEnvironment::KubeEnvironment(const KubeServices& services, KubeRequests::Job job,
                                 std::shared_ptr<RecordStore> store,
                                 std::function<void(Input)> post)
    : services_(services),
      requests_(std::make_shared<KubeRequests>(services.access, std::move(store), std::move(post),
                                               job->status.objects_hash)),
      job_(std::move(job)),
      written_(std::shared_ptr<const api::TrainingJobStatus>(job_, &job_->status)) {}

void KubeEnvironment::PutTask(const KubeServices& services, const std::string& uid,
                              const std::string& object,
                              const std::shared_ptr<KubeRequests>& requests, Request request) {
  services.writes.Put(uid + "/" + object, [&writes = services.writes, uid, requests,
                                           request = std::move(request)](std::stop_token stop) {
    const TaskResult result = request(*requests, std::move(stop));
    writes.Put(uid + "/events",
               [requests](std::stop_token s) { return requests->PostEvents(std::move(s)); });
    return result;
  });
}

void KubeEnvironment::Put(const std::string& object, Request request) {
  PutTask(services_, job_->uid, object, requests_, std::move(request));
}

std::function<void()> KubeEnvironment::Later(const std::string& object, Request request) const {
  return [&services = services_, uid = job_->uid, object, weak = std::weak_ptr(requests_),
          request = std::move(request)] {
    if (auto requests = weak.lock()) PutTask(services, uid, object, requests, request);
  };
}

void KubeEnvironment::PutAfterStatus(const std::string& object, Request request) {
  requests_->AfterStatus(pods_come_after_, object, Later(object, std::move(request)));
}

void KubeEnvironment::PutObject(const kube::JobObject& object, bool gone) {
  Put(NameOf(object), [object, gone](KubeRequests& requests, std::stop_token stop) {
    return requests.PutObject(object, gone, std::move(stop));
  });
}

void KubeEnvironment::PutObjects(bool anyway) {
  if (job::IsTerminal(written_->state)) {
    for (const kube::JobObject& object : kube::ObjectsOfTheLiving(*job_)) {
      const auto [last, added] = objects_.try_emplace(NameOf(object), kGone);
      if (added || std::exchange(last->second, kGone) != kGone) PutObject(object, true);
    }
    return;
  }
  const kube::JobObjectSettings settings{services_.access.ca_bundle(),
                                         services_.access.worker.metrics_port};
  const std::vector<kube::JobObject> objects = kube::MakeJobObjects(*job_, settings);
  std::string all;
  std::map<std::string, std::size_t> changed;
  for (const kube::JobObject& object : objects) {
    all += NameOf(object) + "\n" + object.body + "\n";
    const std::size_t hash = HashOf(object);
    const auto last = objects_.find(NameOf(object));
    if (last == objects_.end() || last->second != hash) changed.emplace(NameOf(object), hash);
  }
  const std::string word = base::Sha256Hex(all).substr(0, 16);
  // Another coordinator has applied these very objects: a thousand jobs are four thousand requests.
  if (!anyway && objects_.empty() && written_->objects_hash == word) {
    objects_ = std::move(changed);
    requests_->ExpectObjects(word, {});
    return;
  }
  requests_->ExpectObjects(word, changed);
  for (const kube::JobObject& object : objects) {
    const auto hash = changed.find(NameOf(object));
    if (hash == changed.end()) continue;
    objects_[hash->first] = hash->second;
    PutObject(object, false);
  }
}

void KubeEnvironment::RepairObjects() {
  objects_.clear();
  PutObjects(true);
}

std::string KubeEnvironment::WorkerImage(const api::TrainingJob& job) const {
  return kube::WorkerImage(job, services_.access.worker.image);
}

void KubeEnvironment::CreatePod(const job::CreatePod& wanted) {
  PutAfterStatus("pods/" + wanted.name, [job = job_, image = written_->worker_image, wanted](
                                            KubeRequests& requests, std::stop_token stop) {
    return requests.CreatePod(job, wanted, image, std::move(stop));
  });
}

void KubeEnvironment::DeletePod(const job::DeletePod& wanted) {
  PutAfterStatus("pods/" + wanted.name,
                 [job = job_, wanted](KubeRequests& requests, std::stop_token stop) {
                   return requests.DeletePod(job, wanted, std::move(stop));
                 });
}

bool KubeEnvironment::IsUnderWay(const std::string& pod) const {
  const std::string object = "pods/" + pod;
  return services_.writes.Holds(job_->uid + "/" + object) || requests_->WaitsForStatus(object);
}

void KubeEnvironment::DeleteJob(const job::Verdict& why) {
  Put("job", [job = job_, why](KubeRequests& requests, std::stop_token stop) {
    return requests.DeleteJob(job, why, std::move(stop));
  });
}

void KubeEnvironment::KeepHistory(const api::TrainingJobStatus& status) {
  if (!requests_->SeeHistory(status)) return;
  Put("history", [job = job_](KubeRequests& requests, std::stop_token stop) {
    return requests.WriteHistory(job, std::move(stop));
  });
}

void KubeEnvironment::WriteStatus(job::SharedStatus status) {
  if (kube::SameApplied(*written_, *status)) return;
  const kube::EventSource source{*job_, services_.access.instance,
                                 services_.access.clock.WallNow()};
  requests_->HoldEvents(kube::EventsOfStatus(source, written_->conditions, status->conditions));
  KeepHistory(*status);
  ++statuses_;
  if (status->failures != written_->failures || status->worker_image != written_->worker_image) {
    pods_come_after_ = statuses_;
  }
  written_ = status;
  PutObjects();
  const auto write = [job = job_, status, number = statuses_](KubeRequests& requests,
                                                              std::stop_token stop) {
    return requests.WriteStatus(job, *status, number, std::move(stop));
  };
  requests_->WhenObjectsApplied(Later("status", write));
  Put("status", write);
}

void KubeEnvironment::Tell(job::Report report) {
  const kube::EventSource source{*job_, services_.access.instance,
                                 services_.access.clock.WallNow()};
  auto events = kube::EventsOfReport(source, report);
  // Each comes with a change of the status, and after it.
  if (!events.empty()) requests_->HoldEvents(std::move(events));
}

void KubeEnvironment::Persist(membership::Persist persist) {
  services_.records.Put(job_->uid,
                        [requests = requests_, persist = std::move(persist)](std::stop_token) {
                          requests->Persist(persist);
                          return TaskResult::kDone;
                        });
}

absl::Status KubeEnvironment::Listen() {
  services_.streams.Accept(job_->uid);
  return absl::OkStatus();
}

void KubeEnvironment::Send(membership::StreamId stream, const api::FromCoordinator& message) {
  services_.streams.Send(stream, message);
}

void KubeEnvironment::CloseStream(membership::StreamId stream) {
  services_.streams.CloseStream(stream);
}

}  // namespace muster::app
