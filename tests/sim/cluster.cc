// See cluster.h.
#include "tests/sim/cluster.h"

#include <algorithm>

#include "operator/base/pod_members.h"
#include "operator/job/by_pods.h"

namespace muster::sim {

Cluster::Cluster(World& w, const Numbers& n, api::TrainingJob j)
    : world(w),
      numbers(n),
      job(std::move(j)),
      disk(w),
      network(w),
      parents(*this),
      rings(w, numbers),
      reference(FaultFree(n, job.spec.training.steps)) {
  StartCoordinator();
  Reconcile();
}

void Cluster::StartCoordinator() {
  coordinators_.push_back(
      std::make_unique<Coordinator>(*this, static_cast<int>(coordinators_.size())));
  Coordinator* started = coordinators_.back().get();
  // It listens only once its term is persisted; dialling before that is answered when it is.
  world.AfterMicros(1000, 20000, [this, started] { network.Listen(*started); });
}

std::vector<Worker*> Cluster::Living() const {
  std::vector<Worker*> living;
  for (const auto& w : workers_) {
    if (w->alive()) living.push_back(w.get());
  }
  return living;
}

Coordinator* Cluster::Leader() const {
  for (auto it = coordinators_.rbegin(); it != coordinators_.rend(); ++it) {
    if ((*it)->alive() && !(*it)->stopped()) return it->get();
  }
  return nullptr;
}

void Cluster::CheckLines() const {
  if (job.spec.checkpoint.path.empty()) return;
  std::int64_t next = 1;
  for (const std::int64_t step : disk.lines()) {
    if (step != next) break;
    ++next;
  }
  if (next == job.spec.training.steps + 1 && next == std::ssize(disk.lines()) + 1) return;
  world.Violation("steps.jsonl lacks the line of step " + std::to_string(next));
}

bool Cluster::Over() const { return succeeded && Living().empty(); }

void Cluster::Ended(Worker& worker) {
  const base::MemberId id = worker.id();
  const std::optional<int> code = worker.exit_code();
  const bool starts_again = code && *code == static_cast<int>(api::ExitCode::kStartsAgain);
  if (starts_again && leak_after == 0) world.Violation(worker.name() + " starts again unasked");
  if (code && *code != 0 && *code != static_cast<int>(api::ExitCode::kFenced) && !starts_again) {
    world.Violation(worker.name() + " exits with code " + std::to_string(*code));
  }
  if (job.spec.workers.processes_per_worker > 1) return EndedInPod(id, code);
  world.AfterMicros(500, 30000, [this, id, code] {
    gone_.push_back(id);
    for (job::Pod& pod : pods_) {
      if (pod.member != id) continue;
      pod.phase = code && *code == 0 ? job::PodPhase::kSucceeded : job::PodPhase::kFailed;
      pod.exit_code = code;
      if (!code) pod.signal = 9;
      pod.finish_time = world.wall();
    }
  });
}

base::MemberId Cluster::PodOf(base::MemberId member) const {
  return base::PodOf(member, job.spec.workers.processes_per_worker);
}

std::vector<Worker*> Cluster::SamePod(const Worker& worker) const {
  std::vector<Worker*> same = Living();
  std::erase_if(same, [&](const Worker* w) { return PodOf(w->id()) != PodOf(worker.id()); });
  return same;
}

void Cluster::KillProcess(base::MemberId member) {
  for (const auto& w : workers_) {
    if (w->id() == member && w->alive()) return w->Kill();
  }
}

void Cluster::AbortsAfter(const Worker& worker, const std::vector<base::MemberId>& evicted) const {
  if (job.spec.workers.processes_per_worker == 1) return;
  for (const Worker* w : SamePod(worker)) {
    const auto at = evicted_at_.find(w->id());
    if (std::find(evicted.begin(), evicted.end(), w->id()) == evicted.end()) continue;
    if (at == evicted_at_.end() || world.now() - at->second >= membership::kKillAnswer) continue;
    world.Violation(worker.name() + " is told to abort while " + w->name() +
                    ", which is evicted, still runs in its pod (M4)");
  }
}

void Cluster::Terminate(Worker& worker, double grace_seconds) {
  terminated_.insert(PodOf(worker.id()));
  for (Worker* w : SamePod(worker)) w->Term(grace_seconds);
}

// As worker/parent/machine.h: what ends with 0 is over, anything else comes again under the next life,
// and a pod that is told to end makes nothing good.
void Cluster::EndedInPod(base::MemberId member, std::optional<int> code) {
  const std::int32_t processes = job.spec.workers.processes_per_worker;
  const base::MemberId id = PodOf(member);
  world.AfterMicros(500, 30000, [this, member, code, id, processes] {
    const auto pod =
        std::find_if(pods_.begin(), pods_.end(), [&](const job::Pod& p) { return p.member == id; });
    if (pod == pods_.end()) return;
    if (!terminated_.contains(id) && code != 0) {
      StartProcess(*pod, {member.ordinal, member.incarnation + 1});
      return;
    }
    if (++over_[id] < processes) return;
    parents.End(id);
    gone_.push_back(id);
    pod->phase = code == 0 ? job::PodPhase::kSucceeded : job::PodPhase::kFailed;
    pod->exit_code = code;
    if (!code) pod->signal = 9;
    pod->finish_time = world.wall();
  });
}

void Cluster::Committed(Worker& worker, const ModelState& state) {
  const auto step = static_cast<std::size_t>(state.step);
  if (Digest(state) != reference[step]) {
    world.Violation(worker.name() + " has another digest at step " + std::to_string(state.step) +
                    " than the fault-free run");
  }
  if (state.step > highest) {
    highest = state.step;
    if (on_step) on_step(highest);
  }
}

// Going back is allowed only when nobody who counts holds more (M11).
void Cluster::Restored(Worker& worker, base::Step step) {
  for (const Worker* w : Living()) {
    const bool holds_more = w->training().has_state() && w->training().state().step > step.value;
    const bool counts = disk.record() && (Names(disk.record()->newest, w->id()) ||
                                          Names(disk.record()->previous, w->id()));
    if (!holds_more || !counts || w->stopped() || w == &worker || !network.Connected(*w)) continue;
    // Another receiver of the same view may have restored and trained on already: that is no loss.
    if (w->session().epoch() >= worker.session().epoch()) continue;
    world.Violation(worker.name() + " goes back to step " + std::to_string(step.value) + " while " +
                    w->name() + " holds step " + std::to_string(w->training().state().step));
  }
}

void Cluster::Reported(base::Step step) {
  if (step.value > highest)
    world.Violation("step " + std::to_string(step.value) + " is reported and nobody committed it");
}

job::Observed Cluster::Observe(const Coordinator& leader) const {
  const membership::Snapshot snapshot = leader.Snapshot();
  job::Observed observed;
  observed.job = job;
  observed.pods = pods_;
  observed.highest_incarnation = incarnations_;
  job::MembershipView& view = observed.membership;
  for (const membership::MemberSnapshot& m : snapshot.members) {
    view.members.push_back({m.id, m.in_view, m.leaving, m.released});
  }
  view.evicted = leader.evicted();
  view.size = snapshot.size;
  view.reached = reached_;
  view.had_view = snapshot.record.newest.epoch != base::Epoch();
  view.finishing = snapshot.finishing;
  view.succeeded = snapshot.succeeded;
  view.listening_since = leader.since();
  view = job::ByPods(std::move(view), job.spec.workers.processes_per_worker);
  return observed;
}

// The operator's loop: observe, plan, apply; every 20 ms while a coordinator runs.
void Cluster::Reconcile() {
  world.AfterMicros(15000, 25000, [this] { Reconcile(); });
  Coordinator* leader = Leader();
  if (leader == nullptr || succeeded) return;
  if (leader->Snapshot().phase == "Deposed") {
    // Its process ends, as it does in production, and another one reads the record anew.
    leader->Kill();
    if (Leader() == nullptr) StartCoordinator();
    return;
  }
  for (base::MemberId id : gone_) {
    if (leader->told_lost.insert(id).second)
      leader->Post(membership::PodLost{id, "the process has ended"});
  }
  const job::Plan plan = job::MakePlan(Observe(*leader), world.wall());
  for (const job::CreatePod& create : plan.creates) Create(create);
  for (const job::DeletePod& deletion : plan.deletes) Delete(deletion);
  for (const api::FailureEntry& failure : plan.failures) job.status.failures.push_back(failure);
  if (plan.fail_job)
    world.Violation("the plan fails the job: " + plan.fail_job->reason + ": " +
                    plan.fail_job->message);
  if (plan.set_target && plan.set_target->desired != leader->told_desired) {
    leader->told_desired = plan.set_target->desired;
    leader->Post(membership::SetTarget{plan.set_target->desired, plan.set_target->min});
  }
}

void Cluster::Create(const job::CreatePod& create) {
  world.Trace([&] {
    return "plan: create " + create.name + " " + base::ToString(create.member) + ": " +
           create.message;
  });
  job::Pod pod;
  pod.name = create.name;
  pod.uid = create.name + "-uid";
  pod.member = create.member;
  pod.node = "node-" + std::to_string(create.member.ordinal % 3);
  pod.phase = job::PodPhase::kRunning;
  pod.start_time = world.wall();
  for (const job::Pod& other : pods_) {
    if (other.name == pod.name) return;  // a repeated create is the same create
  }
  pods_.push_back(pod);
  std::int32_t& newest = incarnations_.try_emplace(create.member.ordinal, -1).first->second;
  newest = std::max(newest, create.member.incarnation);
  const std::int32_t processes = job.spec.workers.processes_per_worker;
  if (processes > 1) parents.Begin(pod.member);
  for (std::int32_t process = 0; process < processes; ++process) {
    StartProcess(pod, base::MemberOf({pod.member, process, 0}, processes));
  }
}

void Cluster::StartProcess(const job::Pod& pod, base::MemberId member) {
  world.AfterMicros(10000, 120000, [this, pod, member] {
    const bool wanted = std::any_of(pods_.begin(), pods_.end(),
                                    [&](const job::Pod& p) { return p.name == pod.name; });
    if (!wanted) return;
    if (!terminated_.contains(pod.member)) {
      workers_.push_back(std::make_unique<Worker>(*this, member, pod.node));
    } else if (job.spec.workers.processes_per_worker > 1) {
      EndedInPod(member, 0);
    }
  });
}

void Cluster::Delete(const job::DeletePod& deletion) {
  auto pod = std::find_if(pods_.begin(), pods_.end(),
                          [&](const job::Pod& p) { return p.uid == deletion.uid; });
  if (pod == pods_.end()) return;
  world.Trace([&] {
    return "plan: delete " + deletion.name + (deletion.force ? " by force: " : ": ") +
           deletion.message;
  });
  const base::MemberId id = pod->member;
  std::vector<Worker*> processes;
  for (const auto& w : workers_) {
    if (PodOf(w->id()) == id) processes.push_back(w.get());
  }
  if (deletion.force || processes.empty()) {
    pods_.erase(pod);
    parents.End(id);
    gone_.push_back(id);
    for (Worker* process : processes) process->Kill();
    return;
  }
  pod->deleting = true;
  if (job.spec.workers.processes_per_worker > 1) terminated_.insert(id);
  for (Worker* process : processes) process->Term(5);
  world.After(std::chrono::seconds(5), [processes] {
    for (Worker* process : processes) process->Kill();
  });
}

}  // namespace muster::sim
