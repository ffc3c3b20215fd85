// See parents.h.
#include "tests/sim/parents.h"

#include <utility>

#include "operator/base/pod_members.h"
#include "tests/sim/cluster.h"

namespace muster::sim {

void Parents::Begin(base::MemberId pod) {
  parents_.emplace(pod, Parent());
  Dial(pod);
}

void Parents::End(base::MemberId pod) {
  const auto parent = parents_.extract(pod);
  if (parent.empty() || parent.mapped().coordinator == nullptr) return;
  Coordinator* coordinator = parent.mapped().coordinator;
  const membership::StreamId stream = parent.mapped().stream;
  cluster_.world.AfterMicros(
      50, 5000, [coordinator, stream] { coordinator->Post(membership::StreamClosed{stream}); });
}

Parents::Parent* Parents::Find(membership::StreamId stream) {
  for (auto& [pod, parent] : parents_) {
    if (parent.coordinator != nullptr && parent.stream == stream) return &parent;
  }
  return nullptr;
}

// A coordinator that sleeps keeps its stream for a while, until the keepalive misses it.
void Parents::Dial(base::MemberId pod) {
  const auto found = parents_.find(pod);
  if (found == parents_.end()) return;
  cluster_.world.AfterMicros(5000, 100000, [this, pod] { Dial(pod); });
  Parent& parent = found->second;
  if (parent.coordinator != nullptr) {
    if (!parent.coordinator->stopped() || !cluster_.world.Chance(0.05)) return;
    parent.coordinator->Post(membership::StreamClosed{parent.stream});
    parent.coordinator = nullptr;
  }
  parent.coordinator = cluster_.Leader();
  if (parent.coordinator == nullptr) return;
  parent.stream = next_++;
  api::Hello hello;
  hello.job_uid = kJobUid;
  hello.token = kToken;
  hello.build_id = "build";
  hello.kernel_families = {"scalar"};
  hello.member = base::PodItself(pod, cluster_.job.spec.workers.processes_per_worker);
  Say(parent.stream, std::move(hello));
}

void Parents::Say(membership::StreamId stream, api::MemberMessage message) {
  cluster_.world.AfterMicros(50, 800, [this, stream, message = std::move(message)] {
    const Parent* parent = Find(stream);
    if (parent != nullptr && parent->coordinator->alive()) {
      parent->coordinator->Post(membership::Received{stream, {{}, message}});
    }
  });
}

void Parents::Heard(const membership::Send& send) {
  const auto* interrupt = std::get_if<api::Interrupt>(&send.message.message);
  if (interrupt == nullptr || Find(send.stream) == nullptr) return;
  World& world = cluster_.world;
  const std::int64_t longest = world.Chance(0.1) ? 400000 : 20000;
  for (const base::MemberId member : interrupt->evicted) {
    world.AfterMicros(500, longest, [this, stream = send.stream, member] { Kill(stream, member); });
  }
}

// What was heard is obeyed, also when the stream is gone by then; the next one hears of it again.
void Parents::Kill(membership::StreamId stream, base::MemberId member) {
  cluster_.KillProcess(member);
  Say(stream, api::Killed{member});
}

void Parents::Closed(membership::StreamId stream) {
  if (Parent* parent = Find(stream)) parent->coordinator = nullptr;
}

void Parents::CloseAllOf(Coordinator& coordinator) {
  for (auto& [pod, parent] : parents_) {
    if (parent.coordinator == &coordinator) parent.coordinator = nullptr;
  }
}

}  // namespace muster::sim
