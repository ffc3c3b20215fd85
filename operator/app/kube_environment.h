// The Kubernetes environment of a reign: pods, status and Events on an API server, the record in the
// job's status, and a share of the operator's membership server.
//
// Calls come from the reign's thread and never wait: what takes a request is a task, by key of the
// object, so that an object has one request in flight and the newest wish wins. Answers arrive as
// inputs on the tasks' threads.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "operator/app/environment.h"
#include "operator/app/kube_requests.h"
#include "operator/runtime/keyed_tasks.h"

namespace muster::app {

// The streams of all jobs' members.
class MemberStreams {
 public:
  virtual ~MemberStreams() = default;
  // From here on members of the job may come: their messages are delivered to its reign.
  virtual void Accept(const std::string& job_uid) = 0;
  // No longer: its streams end after what was sent, and who comes back waits for the next Accept.
  virtual void Refuse(const std::string& job_uid) = 0;
  virtual void Send(membership::StreamId stream, const api::FromCoordinator& message) = 0;
  virtual void CloseStream(membership::StreamId stream) = 0;
};

// The token of every Hello that MemberStreams deliver: they have looked at the member's own.
inline constexpr char kAdmittedToken[] = "admitted";

// What the environments of all jobs share. It outlives them; the tasks are stopped before it goes.
struct KubeServices {
  KubeAccess access;
  runtime::KeyedTasks& writes;   // pods, status, Events
  runtime::KeyedTasks& records;  // apart, so that a record never waits behind a thousand pods
  MemberStreams& streams;
};

class KubeEnvironment final : public Environment {
 public:
  // `post` is called on the tasks' threads until they are stopped.
  KubeEnvironment(const KubeServices& services, KubeRequests::Job job,
                  std::shared_ptr<RecordStore> store, std::function<void(Input)> post);

  // What the watch says of the job now: pods are made from its template.
  void SetJob(KubeRequests::Job job) { job_ = std::move(job); }
  // Writes what stands beside the pods, as far as it is not what was written last. To be called
  // when the job or the bundle of authorities may have changed, and at the end.
  void PutObjects() { PutObjects(false); }
  // Once more, whatever was written: somebody may have deleted one.
  void RepairObjects();
  // What the status tells becomes history. WriteStatus does it; of a job without a reign it is to be
  // called once, because the operator before may have died with the end unwritten.
  void KeepHistory(const api::TrainingJobStatus& status);

  std::string WorkerImage(const api::TrainingJob& job) const override;
  void CreatePod(const job::CreatePod& wanted) override;
  void DeletePod(const job::DeletePod& wanted) override;
  bool IsUnderWay(const std::string& pod) const override;
  void DeleteJob(const job::Verdict& why) override;
  void WriteStatus(job::SharedStatus status) override;
  void Tell(job::Report report) override;
  void Persist(membership::Persist persist) override;
  absl::Status Listen() override;
  void Send(membership::StreamId stream, const api::FromCoordinator& message) override;
  void CloseStream(membership::StreamId stream) override;

 private:
  using Request = std::function<runtime::TaskResult(KubeRequests&, std::stop_token)>;
  // Made on a task's thread; Events that it leads to follow.
  void Put(const std::string& object, Request request);
  void PutObjects(bool anyway);
  void PutObject(const kube::JobObject& object, bool gone);
  // The same, once the status is written that pods come after.
  void PutAfterStatus(const std::string& object, Request request);
  // The same when it is called: for the requests themselves to keep, which it does not keep alive.
  std::function<void()> Later(const std::string& object, Request request) const;
  static void PutTask(const KubeServices& services, const std::string& uid,
                      const std::string& object, const std::shared_ptr<KubeRequests>& requests,
                      Request request);

  const KubeServices& services_;
  const std::shared_ptr<KubeRequests> requests_;  // with the tasks that use it
  KubeRequests::Job job_;
  job::SharedStatus written_;
  std::int64_t statuses_ = 0;  // put so far
  // Number of the newest that tells of a loss or fixes the workers' image; 0: none of these.
  std::int64_t pods_come_after_ = 0;
  std::map<std::string, std::size_t> objects_;  // hash of the body by name, as put last
};

}  // namespace muster::app
