// Builds what a plan observes, one sentence a line.
#pragma once

#include <string>
#include <utility>

#include "operator/job/observed.h"
#include "operator/job/reasons.h"

namespace muster::job {

inline base::WallTime At(double seconds) {
  return base::WallTime(base::FromSeconds(1000 + seconds));
}

class ObservedBuilder {
 public:
  explicit ObservedBuilder(std::int32_t replicas) {
    out_.job.name = "j";
    out_.job.uid = "u";
    out_.job.spec.workers.replicas = replicas;
    out_.job.spec.workers.max_replicas = 8;
    out_.job.spec.training.steps = 100;
    out_.membership.listening_since = At(0);
  }

  // A running pod that trains.
  ObservedBuilder& Trains(std::int32_t ordinal, std::int32_t incarnation = 0) {
    Runs(ordinal, incarnation);
    out_.membership.members.push_back({{ordinal, incarnation}, true, false, false});
    ++out_.membership.size;
    out_.membership.had_view = true;
    return *this;
  }
  // A running pod that membership does not know.
  ObservedBuilder& Runs(std::int32_t ordinal, std::int32_t incarnation = 0) {
    Pod pod;
    pod.name = "pod-" + std::to_string(ordinal) + "." + std::to_string(incarnation);
    pod.uid = "uid-" + pod.name;
    pod.member = {ordinal, incarnation};
    pod.node = "node-0";
    pod.phase = PodPhase::kRunning;
    pod.start_time = At(0);
    out_.pods.push_back(pod);
    return *this;
  }
  // What follows is about the pod named last.
  ObservedBuilder& Exited(int code, double at = 0) {
    Pod& pod = out_.pods.back();
    pod.phase = code == 0 ? PodPhase::kSucceeded : PodPhase::kFailed;
    pod.exit_code = code;
    pod.finish_time = At(at);
    return *this;
  }
  ObservedBuilder& Killed(int signal, double at = 0) {
    Pod& pod = out_.pods.back();
    pod.phase = PodPhase::kFailed;
    pod.signal = signal;
    pod.finish_time = At(at);
    return *this;
  }
  ObservedBuilder& Evicted(std::string reason) {
    out_.membership.evicted[out_.pods.back().member] = {std::move(reason), "no beat for 1 s"};
    return *this;
  }
  ObservedBuilder& Released() {
    KnownMember& member = out_.membership.members.back();
    member.in_view = false;
    member.leaving = true;
    member.released = true;
    --out_.membership.size;
    return *this;
  }
  ObservedBuilder& HadView() {
    out_.membership.had_view = true;
    return *this;
  }
  ObservedBuilder& FailedBefore(base::MemberId member, double at, bool charged = true) {
    out_.job.status.failures.push_back({At(at), member, "node-0", reasons::kKilled, -1, charged});
    return *this;
  }

  Observed& operator*() { return out_; }
  Observed* operator->() { return &out_; }

 private:
  Observed out_;
};

}  // namespace muster::job
