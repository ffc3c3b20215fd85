// Builds what a plan observes, one sentence a line.
#pragma once

#include <string>
#include <utility>

#include "operator/job/observed.h"
#include "operator/job/plan.h"
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
  // Not one machine: nodes are told of, and the spec is hashed.
  ObservedBuilder& OnCluster() {
    out_.on_cluster = true;
    out_.job.spec.checkpoint.path = "/checkpoints";
    out_.spec_hash = out_.reign_spec_hash = "spec-1";
    out_.template_hash = "template-1";
    return *this;
  }
  // The node of the pod named last, which is ready there.
  ObservedBuilder& OnNode(const std::string& name) {
    out_.pods.back().node = name;
    out_.pods.back().ready = true;
    out_.nodes[name].name = name;
    return *this;
  }
  // A pod that waits for a node, or for its container.
  ObservedBuilder& Waits(std::int32_t ordinal, std::int32_t incarnation = 0) {
    Runs(ordinal, incarnation);
    out_.pods.back().phase = PodPhase::kPending;
    out_.pods.back().node.clear();
    return *this;
  }
  ObservedBuilder& Deleted(double grace_ends) {
    out_.pods.back().deleting = true;
    out_.pods.back().deletion_time = At(grace_ends);
    return *this;
  }
  ObservedBuilder& EvictedAt(std::string reason, double at) {
    out_.membership.evicted_at[out_.pods.back().member] = At(at);
    return Evicted(std::move(reason));
  }
  ObservedBuilder& Refused(base::MemberId member, std::string reason, std::int32_t times,
                           double at) {
    const std::string name = PodName(out_.job, member, "");
    out_.refused[name] = {member, std::move(reason), "the server's words", times, At(at)};
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
