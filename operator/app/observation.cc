#include "operator/app/observation.h"

#include <algorithm>
#include <set>

namespace muster::app {
namespace {

bool IsOver(const job::Pod& pod) {
  return pod.phase == job::PodPhase::kSucceeded || pod.phase == job::PodPhase::kFailed;
}

std::string HowItEnded(const job::Pod& pod) {
  if (pod.infrastructure_loss) return "its node is gone";
  if (pod.signal) return "killed by signal " + std::to_string(*pod.signal);
  if (pod.exit_code) return "exited with code " + std::to_string(*pod.exit_code);
  return "its pod is gone";
}

bool IsRunningState(api::JobState state) {
  return state == api::JobState::kRunning || state == api::JobState::kDegraded ||
         state == api::JobState::kResizing;
}

}  // namespace

Observation::Observation(job::Listed listed, bool resumes_reign)
    : job_(std::move(listed.job)),
      highest_incarnation_(std::move(listed.highest_incarnation)),
      resumes_reign_(resumes_reign) {
  for (job::Pod& pod : listed.pods) {
    SeeIncarnation(pod.member);
    pods_.emplace(pod.name, std::move(pod));
  }
  had_view_ = resumes_reign && IsRunningState(job_.status.state);
  if (had_view_ && job_.status.members == job_.status.desired_members) {
    reached_ = job_.status.members;
  }
}

void Observation::SeeIncarnation(base::MemberId member) {
  auto [it, added] = highest_incarnation_.emplace(member.ordinal, member.incarnation);
  it->second = std::max(it->second, member.incarnation);
}

std::vector<membership::Event> Observation::OnChange(const job::Change& change) {
  if (const auto* changed = std::get_if<job::JobChanged>(&change)) {
    // The status is ours: what the cluster sends is what we wrote, or older.
    const api::TrainingJobStatus status = job_.status;
    job_ = changed->job;
    job_.status = status;
    return {};
  }
  if (const auto* changed = std::get_if<job::PodChanged>(&change)) return OnPod(changed->pod);
  const job::Pod& gone = std::get<job::PodDeleted>(change).pod;
  auto it = pods_.find(gone.name);
  if (it == pods_.end()) return {};
  const bool was_over = IsOver(it->second);
  pods_.erase(it);
  if (was_over) return {};
  return {membership::PodLost{gone.member, HowItEnded(gone)}};
}

std::vector<membership::Event> Observation::OnPod(const job::Pod& pod) {
  SeeIncarnation(pod.member);
  auto [it, added] = pods_.emplace(pod.name, pod);
  const bool was_over = !added && IsOver(it->second);
  const bool was_deleting = !added && it->second.deleting;
  it->second = pod;
  if (IsOver(pod) && !was_over) return {membership::PodLost{pod.member, HowItEnded(pod)}};
  if (pod.deleting && !was_deleting && !IsOver(pod)) {
    return {membership::PodLeaving{pod.member, std::chrono::seconds(30), "its pod is deleted"}};
  }
  return {};
}

std::vector<membership::Event> Observation::LostMembers(const api::Record& record) const {
  std::set<base::MemberId> with_pod, alive;
  for (const auto& [name, pod] : pods_) {
    with_pod.insert(pod.member);
    if (!IsOver(pod)) alive.insert(pod.member);
  }
  std::vector<membership::Event> events;
  membership::FormerMembers former;
  for (const api::RecordedView* view : {&record.newest, &record.previous}) {
    for (base::MemberId member : view->members) {
      if (alive.contains(member)) continue;
      if (!resumes_reign_ && !with_pod.contains(member)) {
        former.members.push_back(member);
      } else {
        events.push_back(membership::PodLost{member, "its pod is gone"});
      }
    }
  }
  if (!former.members.empty()) events.push_back(std::move(former));
  return events;
}

void Observation::OnEvicted(const membership::Evicted& evicted) {
  evicted_[evicted.member] = {evicted.reason, evicted.message};
}

void Observation::OnLastWords(base::MemberId member, const std::string& message) {
  last_words_[member] = message;
}

void Observation::OnVerdict(job::Verdict verdict) {
  if (!verdict_) verdict_ = std::move(verdict);
}

job::Observed Observation::Observe(const membership::Snapshot& snapshot, const Instant& at) {
  job::Observed out;
  out.job = job_;
  for (const auto& [name, pod] : pods_) out.pods.push_back(pod);
  for (const api::RecordedView* view : {&snapshot.record.newest, &snapshot.record.previous}) {
    for (base::MemberId member : view->members) SeeIncarnation(member);
  }
  out.highest_incarnation = highest_incarnation_;

  job::MembershipView& view = out.membership;
  std::int64_t highest = snapshot.committed.value;
  for (const membership::MemberSnapshot& member : snapshot.members) {
    view.members.push_back({member.id, member.in_view, member.leaving, member.released});
    highest = std::max(highest, member.committed.value);
  }
  // Until they have said hello again, the record alone knows that these train.
  for (base::MemberId member : snapshot.record.newest.members) {
    const bool known = std::any_of(view.members.begin(), view.members.end(),
                                   [&](const job::KnownMember& m) { return m.id == member; });
    if (!known && !evicted_.contains(member)) view.members.push_back({member, true, false, false});
  }
  had_view_ = had_view_ || snapshot.size > 0;
  const std::int32_t desired = job_.spec.workers.replicas * job_.spec.workers.processes_per_worker;
  if (snapshot.size == desired) reached_ = desired;
  view.evicted = evicted_;
  view.last_words = last_words_;
  view.size = snapshot.size;
  view.reached = reached_;
  view.had_view = had_view_;
  view.finishing = highest >= job_.spec.training.steps;
  if (snapshot.below_min_since) {
    view.below_min_since = at.wall - (at.now - *snapshot.below_min_since);
  }
  view.checkpoint_problem = problem_;
  view.succeeded = snapshot.succeeded;
  view.drained = drained_;
  if (snapshot.failed) {
    view.failed = verdict_.value_or(job::Verdict{"Failed", "membership has ended the job"});
  }
  view.listening_since = listening_since_;
  return out;
}

}  // namespace muster::app
