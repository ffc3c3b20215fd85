#include "operator/app/observation.h"

#include <algorithm>

#include "operator/api/frozen_hash.h"
#include "operator/api/worker_gpus.h"
#include "operator/base/pod_members.h"
#include "operator/job/by_pods.h"

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

// A later end of a grace is no news, nor is one that only the clock's reading makes earlier.
constexpr base::Duration kSooner = std::chrono::seconds(1);

bool IsRunningState(api::JobState state) {
  return state == api::JobState::kRunning || state == api::JobState::kDegraded ||
         state == api::JobState::kResizing;
}

}  // namespace

Observation::Observation(job::Listed listed, bool resumes_reign, job::Pods shared)
    : job_(std::move(listed.job)),
      status_(job_.Of(job_->status)),
      pods_(std::move(shared)),
      highest_incarnation_(std::move(listed.highest_incarnation)),
      reign_spec_hash_(listed.on_cluster ? api::FrozenHash(job_->spec) : ""),
      on_cluster_(listed.on_cluster),
      resumes_reign_(resumes_reign) {
  ReadSpec();
  for (job::Pod& pod : listed.pods) pods_.Put(std::move(pod));
  for (const job::SharedPod& pod : pods_) SeeIncarnation(pod->member);
  for (const job::Node& node : listed.nodes) OnNode(node);
  had_view_ = resumes_reign && IsRunningState(status_->state);
  if (had_view_ && status_->members == status_->desired_members) {
    reached_ = status_->members;
  }
}

void Observation::SeeIncarnation(base::MemberId member) {
  auto [it, added] = highest_incarnation_.emplace(member.ordinal, member.incarnation);
  it->second = std::max(it->second, member.incarnation);
}

std::vector<membership::Event> Observation::OnChange(const job::Change& change, const Instant& at) {
  if (const auto* changed = std::get_if<job::JobChanged>(&change)) {
    OnJob(changed->job);
    return {};
  }
  if (const auto* refused = std::get_if<job::PodRefused>(&change)) {
    OnRefused(*refused, at.wall);
    return {};
  }
  if (const auto* changed = std::get_if<job::NodeChanged>(&change)) {
    OnNode(changed->node);
    return {};
  }
  if (const auto* changed = std::get_if<job::PodChanged>(&change)) return OnPod(changed->pod);
  const job::Pod& gone = std::get<job::PodDeleted>(change).pod;
  const job::Pod* known = pods_.Find(gone.name);
  if (known == nullptr) return {};
  const bool was_over = IsOver(*known);
  pods_.Remove(gone.name);
  if (was_over) return {};
  return {membership::PodLost{gone.member, HowItEnded(gone)}};
}

void Observation::OnJob(const job::SharedJob& job) {
  // Another template, quota or number may be taken where the one before was not.
  if (job->spec != job_->spec) refused_.clear();
  job_ = job;
  ReadSpec();
}

// What a plan compares. One machine reads no template, and nobody else writes its spec.
void Observation::ReadSpec() {
  if (!on_cluster_) return;
  spec_hash_ = api::FrozenHash(job_->spec);
  template_hash_ = api::TemplateHash(job_->spec);
  worker_gpus_ = api::WorkerGpus(job_->spec.workers);
}

void Observation::OnRefused(const job::PodRefused& refused, base::WallTime now) {
  auto [it, added] = refused_.emplace(refused.name, job::Refusal{});
  const std::int32_t times = added ? 1 : it->second.times + 1;
  it->second = {refused.member, refused.reason, refused.message, times, now};
}

// Everybody is told of every node. Kept are those that pods or losses name, and those where a new pod
// had better not go, or has gone already and the watch does not say so yet: not thousands by each job.
void Observation::OnNode(const job::Node& node) {
  const bool troubled = node.suspect() || node.cordoned || !node.fault.empty();
  if ((troubled && !node.gone) || NamesNode(node.name)) {
    nodes_.insert_or_assign(node.name, node);
  } else {
    nodes_.erase(node.name);
  }
}

bool Observation::NamesNode(const std::string& node) const {
  const auto& failures = status_->failures;
  return std::any_of(pods_.begin(), pods_.end(),
                     [&](const job::SharedPod& pod) { return pod->node == node; }) ||
         std::any_of(failures.begin(), failures.end(),
                     [&](const api::FailureEntry& failure) { return failure.node == node; });
}

std::vector<membership::Event> Observation::OnPod(const job::SharedPod& shared) {
  const job::Pod& pod = *shared;
  SeeIncarnation(pod.member);
  const job::Pod* before = pods_.Find(pod.name);
  const bool was_over = before != nullptr && IsOver(*before);
  // Pods are taken again.
  if (before == nullptr) refused_.clear();
  pods_.Put(shared);
  if (IsOver(pod) && !was_over) return {membership::PodLost{pod.member, HowItEnded(pod)}};
  return {};
}

void Observation::HintLeaving(const job::Pod& pod, const membership::MemberSnapshot& member,
                              const Instant& at, std::vector<membership::Event>& events) {
  if (member.released) return;
  const base::Duration left =
      pod.deletion_time ? std::clamp(*pod.deletion_time - at.wall, base::Duration(0), pod.grace)
                        : pod.grace;
  // A notice may be followed by a deletion that leaves less time.
  const base::WallTime until = at.wall + left;
  auto [told, news] = told_leaving_.emplace(member.id, until);
  if (!news && member.leaving && told->second - until < kSooner) return;
  told->second = std::min(told->second, until);
  events.push_back(membership::PodLeaving{
      member.id, left, pod.deleting ? "its pod is deleted" : "its pod is to be disrupted"});
}

std::vector<membership::Event> Observation::Hints(const membership::Snapshot& snapshot,
                                                  const Instant& at) {
  std::vector<membership::Event> events;
  for (const job::SharedPod& shared : pods_) {
    const job::Pod& pod = *shared;
    if (!job::IsGoing(pod) || IsOver(pod)) continue;
    for (const membership::MemberSnapshot& member : snapshot.members) {
      if (PodOf(member.id) == pod.member) HintLeaving(pod, member, at, events);
    }
  }
  for (const membership::MemberSnapshot& member : snapshot.members) {
    auto node = nodes_.find(member.node);
    if (node == nodes_.end() || !node->second.suspect()) continue;
    if (!told_suspect_.emplace(member.node, member.id).second) continue;
    events.push_back(membership::NodeSuspect{member.node});
  }
  std::set<std::string> cleared;
  std::erase_if(told_suspect_, [&](const auto& told) {
    auto node = nodes_.find(told.first);
    if (node != nodes_.end() && node->second.suspect()) return false;
    cleared.insert(told.first);
    return true;
  });
  for (const std::string& node : cleared) events.push_back(membership::NodeSuspect{node, false});
  return events;
}

// A coordinator before this one has written its loss down. Nobody waits for it again, whatever its
// pod looks like.
bool Observation::IsJudged(base::MemberId pod) const {
  const auto& failures = status_->failures;
  const base::MemberId loss = job::LossId(pod, job_->spec.workers.processes_per_worker);
  return on_cluster_ && std::any_of(failures.begin(), failures.end(),
                                    [&](const auto& failure) { return failure.member == loss; });
}

base::MemberId Observation::PodOf(base::MemberId member) const {
  return base::PodOf(member, job_->spec.workers.processes_per_worker);
}

std::vector<membership::Event> Observation::LostMembers(const api::Record& record) const {
  std::set<base::MemberId> with_pod, alive;
  for (const job::SharedPod& shared : pods_) {
    const job::Pod& pod = *shared;
    // The pods of a job that was suspended stay for a while; they have left in order.
    const bool left = on_cluster_ && pod.phase == job::PodPhase::kSucceeded;
    if (!left) with_pod.insert(pod.member);
    if (!IsOver(pod) && !IsJudged(pod.member)) alive.insert(pod.member);
  }
  std::vector<membership::Event> events;
  membership::FormerMembers former;
  std::set<base::MemberId> told;
  for (const api::RecordedView* view : {&record.newest, &record.previous}) {
    for (base::MemberId member : view->members) {
      const base::MemberId pod = PodOf(member);
      if (alive.contains(pod)) continue;
      if (!resumes_reign_ && !with_pod.contains(pod)) {
        former.members.push_back(member);
      } else if (told.insert(pod).second) {
        events.push_back(membership::PodLost{
            pod, IsJudged(pod) ? "it was lost before this coordinator came" : "its pod is gone"});
      }
    }
  }
  if (!former.members.empty()) events.push_back(std::move(former));
  return events;
}

void Observation::OnEvicted(const membership::Evicted& evicted) {
  evicted_[evicted.member] = {evicted.reason, evicted.message};
}

void Observation::SeeEvictions(base::WallTime now) {
  for (const auto& [member, why] : evicted_) evicted_at_.emplace(member, now);
}

void Observation::OnLastWords(base::MemberId member, job::LastWords words) {
  last_words_[member] = std::move(words);
}

void Observation::OnVerdict(job::Verdict verdict) {
  if (!verdict_) verdict_ = std::move(verdict);
}

job::Observed Observation::Observe(const membership::Snapshot& snapshot, const Instant& at) {
  job::Observed out;
  out.job = *job_;
  out.job.status = *status_;
  for (const job::SharedPod& pod : pods_) out.pods.push_back(*pod);
  for (const api::RecordedView* view : {&snapshot.record.newest, &snapshot.record.previous}) {
    for (base::MemberId member : view->members) SeeIncarnation(PodOf(member));
  }
  out.highest_incarnation = highest_incarnation_;
  // On one machine the list has every id that was ever used.
  if (on_cluster_ && !first_incarnation_ && snapshot.record.term != base::Term()) {
    first_incarnation_ = static_cast<std::int32_t>(snapshot.record.newest.epoch.value);
  }
  out.first_incarnation = first_incarnation_.value_or(0);
  out.on_cluster = on_cluster_;
  out.nodes = nodes_;
  out.refused = refused_;
  out.spec_hash = spec_hash_;
  out.template_hash = template_hash_;
  out.reign_spec_hash = reign_spec_hash_;
  out.worker_gpus = worker_gpus_.value_or(0);
  if (!worker_gpus_.ok()) out.worker_gpus_problem = base::Message(worker_gpus_.status());

  job::MembershipView& view = out.membership;
  for (const membership::MemberSnapshot& member : snapshot.members) {
    view.members.push_back({member.id, member.in_view, member.leaving, member.released});
  }
  // Until they have said hello again, the record alone knows that these train.
  for (base::MemberId member : snapshot.record.newest.members) {
    const bool known = std::any_of(view.members.begin(), view.members.end(),
                                   [&](const job::KnownMember& m) { return m.id == member; });
    if (!known && !evicted_.contains(member)) view.members.push_back({member, true, false, false});
  }
  had_view_ = had_view_ || snapshot.size > 0;
  const std::int32_t desired =
      job_->spec.workers.replicas * job_->spec.workers.processes_per_worker;
  if (snapshot.size == desired) reached_ = desired;
  SeeEvictions(at.wall);
  view.evicted = evicted_;
  view.evicted_at = evicted_at_;
  view.last_words = last_words_;
  view.size = snapshot.size;
  view.reached = reached_;
  view.had_view = had_view_;
  view.finishing = snapshot.finishing;
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
  view = job::ByPods(std::move(view), job_->spec.workers.processes_per_worker);
  return out;
}

}  // namespace muster::app
