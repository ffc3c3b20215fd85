// A stand-in for `muster coordinator`: creates the pods, commits a step every few milliseconds, and
// notes what it hears. It has no membership; the cluster cannot tell.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "operator/local/api_client.h"

namespace muster::local {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

base::Time Now() { return base::Time(steady_clock::now().time_since_epoch()); }

class StandIn {
 public:
  explicit StandIn(const char* path)
      : client_(*ApiClient::Connect(
            path, {[this](ClusterMessage message) { messages_.Push(std::move(message)); },
                   [this](const std::string&) { messages_.Close(); }})) {}

  int Run() {
    base::Time next = Now();
    while (!messages_.closed()) {
      if (auto message = messages_.PopUntil(next)) Take(*message);
      if (Now() < next) continue;
      next = Now() + milliseconds(10);
      if (opened_) Step();
    }
    return 0;
  }

 private:
  void Take(const ClusterMessage& message) {
    if (const auto* opening = std::get_if<Opening>(&message)) {
      opened_ = true;
      job_ = opening->job;
      step_ = job_.status.progress.step;
      for (const job::Pod& pod : opening->pods) uids_[pod.name] = pod.uid;
      for (std::int32_t i = 0; i < job_.spec.workers.replicas; ++i) {
        client_->Send(CreatePodRequest{"pod-" + std::to_string(i), {i, 0}, "ScaleUp"});
      }
    } else if (const auto* job = std::get_if<JobChanged>(&message)) {
      job_.spec = job->job.spec;
    } else if (const auto* pod = std::get_if<PodChanged>(&message)) {
      uids_[pod->pod.name] = pod->pod.uid;
      if (pod->pod.phase != job::PodPhase::kFailed) return;
      client_->Send(
          Report{Note{"plan", "pod " + base::ToString(pod->pod.member) + " failed" +
                                  (pod->pod.infrastructure_loss ? ", infrastructure" : "")}});
    }
  }

  void DeleteAll() {
    for (const auto& [name, uid] : uids_) {
      client_->Send(DeletePodRequest{name, uid, true, "JobEnded"});
    }
  }

  void Step() {
    api::TrainingJobStatus& status = job_.status;
    if (job_.spec.suspend) {
      status.state = api::JobState::kSuspended;
      DeleteAll();
    } else if (step_ >= job_.spec.training.steps) {
      status.state = api::JobState::kSucceeded;
      DeleteAll();
    } else {
      ++step_;
      StepCommitted committed;
      committed.step = base::Step(step_);
      status.state = api::JobState::kRunning;
      status.progress.step = step_;
      client_->Send(Report{committed});
    }
    client_->Send(WriteStatus{status});
  }

  runtime::BoundedQueue<ClusterMessage> messages_{64, runtime::WhenFull::kBlock};
  bool opened_ = false;
  std::int64_t step_ = 0;
  api::TrainingJob job_;
  std::map<std::string, std::string> uids_;
  std::unique_ptr<ApiClient> client_;
};

}  // namespace
}  // namespace muster::local

int main(int argc, char** argv) {
  if (argc != 4 || std::strcmp(argv[1], "coordinator") != 0) return 2;
  return muster::local::StandIn(argv[3]).Run();
}
