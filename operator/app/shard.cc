#include "operator/app/shard.h"

#include <algorithm>
#include <utility>

#include "operator/api/conditions.h"
#include "operator/api/frozen_hash.h"
#include "operator/api/status_schema.h"
#include "operator/app/kube_record_store.h"
#include "operator/base/pod_members.h"
#include "operator/base/rng.h"
#include "operator/job/plan.h"
#include "operator/job/rules.h"
#include "operator/runtime/entropy.h"
#include "operator/runtime/take_some.h"

namespace muster::app {
namespace {

using runtime::TaskResult;

constexpr int kMostLettersAtOnce = 256;
// Nothing to do: how long the thread sleeps at most.
constexpr base::Duration kIdle = std::chrono::seconds(1);
// A record that cannot be written within this is asked for again, after a look at what is there.
constexpr base::Duration kRecordTimeout = std::chrono::seconds(3);
// Progress is worth one write of the job in so long; spread, so that jobs do not write together.
constexpr base::Duration kProgressEvery = std::chrono::seconds(10);
constexpr base::Duration kFirstWait = std::chrono::milliseconds(200);
constexpr base::Duration kMostWait = std::chrono::seconds(10);
constexpr char kOurselves[] = "muster.dev/operator";

bool IsOurs(const api::TrainingJob& job) {
  return job.spec.managed_by.empty() || job.spec.managed_by == kOurselves;
}

bool HasTrained(const api::TrainingJobStatus& status) {
  return status.state == api::JobState::kRunning || status.state == api::JobState::kDegraded ||
         status.state == api::JobState::kResizing;
}

// Between 0.9 and 1.1 of `duration`.
base::Duration Spread(base::Duration duration) {
  return duration / 10 * 9 + duration / 1000 * (runtime::RandomNumber() % 200);
}

// The same object: a fleet has thousands of them.
KubeRequests::Job JobOf(const JobSeen::Job& seen) { return {seen, &seen->job}; }

// Ids of pods that are gone and that nobody may have again.
std::map<std::int32_t, std::int32_t> Incarnations(const api::TrainingJobStatus& status,
                                                  std::int32_t processes) {
  std::map<std::int32_t, std::int32_t> highest;
  for (const api::FailureEntry& failure : status.failures) {
    const base::MemberId pod = base::PodOf(failure.member, processes);
    std::int32_t& known = highest[pod.ordinal];
    known = std::max(known, pod.incarnation);
  }
  return highest;
}

}  // namespace

struct Shard::Job {
  std::string uid;
  JobSeen::Job seen;     // null: not yet, or no more
  job::Pods pods;        // while there is a reign, it has them
  bool opening = false;  // its record is being read
  bool over = false;     // dissolved, or not ours
  int deposed = 0;       // times in a row
  base::Time open_at;
  base::Time repair_at;  // of a reign: its objects are applied anew
  std::shared_ptr<JobMetrics> metrics;
  std::unique_ptr<KubeEnvironment> environment;
  std::unique_ptr<Reign> reign;
  bool touched = false;
  bool tended = false;                       // as an ended job, since something was told of it
  std::optional<base::WallTime> look_again;  // of an ended job

  // By the spec that it has now. A reign would welcome members with another one.
  bool BeganThus() const {
    const std::string& began_with = seen->job.status.spec_hash;
    return began_with.empty() || began_with == api::FrozenHash(seen->job.spec);
  }
  // It has ended and there is nobody to tell. Where pods still run, the coordinator that ended the job
  // may have died before their members heard of it: a reign tells them.
  bool NeedsNoReign() const {
    if (!job::IsTerminal(seen->job.status.state)) return false;
    const bool nobody = std::all_of(pods.begin(), pods.end(), [](const job::SharedPod& pod) {
      return job::HasEnded(*pod) || pod->deleting;
    });
    return nobody || !BeganThus();
  }
};

Shard::Shard(Options options) : options_(std::move(options)), thread_([this] { Run(); }) {}

Shard::~Shard() { Close(); }

void Shard::Run() {
  while (!inbox_.closed()) {
    runtime::TakeSome(inbox_, NextWake(), kMostLettersAtOnce,
                      [this](Letter letter) { Take(std::move(letter)); });
    TurnAll();
  }
  // On the thread that used them.
  jobs_.clear();
}

void Shard::Take(Letter letter) {
  if (std::holds_alternative<ListsComplete>(letter.what)) {
    lists_complete_ = true;
    for (auto& [uid, job] : jobs_) job->touched = true;
    return;
  }
  if (const auto* node = std::get_if<NodeSeen>(&letter.what)) return OnNode(node->node);
  std::unique_ptr<Job>& slot = jobs_[letter.job_uid];
  if (slot == nullptr) {
    slot = std::make_unique<Job>();
    slot->uid = letter.job_uid;
  }
  Job& job = *slot;
  job.touched = true;
  if (auto* seen = std::get_if<JobSeen>(&letter.what)) {
    OnJob(job, std::move(seen->job));
  } else if (auto* opened = std::get_if<Opened>(&letter.what)) {
    job.opening = false;
    if (opened->gone) {
      job.open_at = options_.services.access.clock.Now() + kFirstWait;
    } else if (!job.over && job.seen) {
      Begin(job, std::move(opened->record));
    }
  } else if (auto* input = std::get_if<Input>(&letter.what)) {
    OnInput(job, std::move(*input));
  } else if (std::holds_alternative<JobGone>(letter.what)) {
    End(job);
    // Pods that are still there are the garbage collector's; whatever is told of them makes an
    // entry without a job, which Turn drops with the last of them.
    job.seen.reset();
  }
}

void Shard::OnJob(Job& job, JobSeen::Job seen) {
  if (!seen->unreadable.empty()) {
    End(job);
    job.over = true;
    job.seen = std::move(seen);
    const api::TrainingJob& read = job.seen->job;
    options_.services.access.log.Error(
        "operator", "cannot read a job",
        {{"job", read.ns + "/" + read.name}, {"error", job.seen->unreadable}});
    return WriteConditions(job, job::MakeUnreadablePlan(read, job.seen->unreadable));
  }
  job.over = seen->deleting || !IsOurs(seen->job);
  if (job.over) End(job);
  job.seen = std::move(seen);
  if (job.environment) {
    job.environment->SetJob(JobOf(job.seen));
    job.environment->PutObjects();
  }
  if (job.reign) job.reign->Take(job::Change(job::JobChanged{job::SharedJob(JobOf(job.seen))}));
}

void Shard::OnInput(Job& job, Input input) {
  if (job.reign) return job.reign->Take(std::move(input));
  if (const auto* change = std::get_if<job::Change>(&input)) {
    if (const auto* pod = std::get_if<job::PodChanged>(change)) {
      job.pods.Put(pod->pod);
    } else if (const auto* gone = std::get_if<job::PodDeleted>(change)) {
      job.pods.Remove(gone->pod.name);
    }
  }
}

void Shard::EndReign(Job& job) {
  job.pods = job.reign->TakePods();
  job.reign.reset();
  options_.services.streams.Refuse(job.uid);
}

void Shard::OnNode(const job::Node& node) {
  if (node.gone) {
    nodes_.erase(node.name);
  } else {
    nodes_[node.name] = node;
  }
  for (auto& [uid, job] : jobs_) {
    if (!job->reign) continue;
    job->reign->Take(job::Change(job::NodeChanged{node}));
    job->touched = true;
  }
}

void Shard::WriteConditions(const Job& job, const job::Plan& plan) {
  KubeEnvironment environment(options_.services, JobOf(job.seen), nullptr, [](const Input&) {});
  api::TrainingJobStatus status = job.seen->job.status;
  for (api::Condition condition : plan.conditions) {
    condition.last_transition_time = options_.services.access.clock.WallNow();
    api::SetCondition(status.conditions, std::move(condition));
  }
  environment.WriteStatus(std::move(status));
}

// The spec is not the one that the job trains by: a reign would welcome members with it.
void Shard::Hold(Job& job) {
  const runtime::Clock& clock = options_.services.access.clock;
  job::Observed observed;
  observed.job = job.seen->job;
  observed.on_cluster = true;
  observed.spec_hash = api::FrozenHash(observed.job.spec);
  observed.template_hash = api::TemplateHash(observed.job.spec);
  for (const job::SharedPod& pod : job.pods) observed.pods.push_back(*pod);
  WriteConditions(job, job::MakePlan(observed, clock.WallNow()));
  job.open_at = clock.Now() + kMostWait;
}

// Members are told to go, if they can be, and what they say is heard no more.
void Shard::End(Job& job) {
  if (job.reign) {
    job.reign->Take(membership::Event(membership::Dissolve{}));
    EndReign(job);
  }
  job.environment.reset();
  job.metrics.reset();
}

void Shard::Open(Job& job) {
  job.opening = true;
  const KubeServices& services = options_.services;
  const api::TrainingJob& seen = job.seen->job;
  const kube::ObjectKey key{seen.ns, seen.name};
  auto store = std::make_shared<KubeRecordStore>(services.access.client, key, seen.uid,
                                                 kube::Call{kRecordTimeout}, &services.access.log);
  job.environment = std::make_unique<KubeEnvironment>(
      services, JobOf(job.seen), store,
      [this, uid = job.uid](Input input) { Post({uid, std::move(input)}); });
  job.environment->PutObjects();
  services.records.Put(
      job.uid, [this, uid = job.uid, store, key, &log = services.access.log](std::stop_token stop) {
        auto record = store->Read();
        if (record.ok()) {
          Post({uid, Opened{std::move(*record)}});
          return TaskResult::kDone;
        }
        log.Warning("operator", "cannot read the record of " + kube::ToString(key),
                    {{"error", base::Message(record.status())}});
        if (record.status().code() != absl::StatusCode::kNotFound) {
          return stop.stop_requested() ? TaskResult::kDone : TaskResult::kRetry;
        }
        Post({uid, Opened{std::nullopt, true}});
        return TaskResult::kDone;
      });
}

std::unique_ptr<AuditLog> Shard::OpenAudit(const api::TrainingJob& job, bool first) const {
  if (options_.audit_dir.empty()) return nullptr;
  auto audit = AuditLog::Open(options_.audit_dir + "/" + job.ns + "_" + job.name + ".jsonl");
  absl::Status status = audit.status();
  if (status.ok() && first) status = (*audit)->RollBack(base::Step(0));
  if (status.ok()) return std::move(*audit);
  options_.services.access.log.Error("audit", base::Message(status));
  return nullptr;
}

void Shard::Begin(Job& job, std::optional<api::Record> record) {
  const KubeServices& services = options_.services;
  const api::TrainingJob& seen = job.seen->job;
  job::Listed listed{job::SharedJob(JobOf(job.seen)),
                     {},
                     Incarnations(seen.status, seen.spec.workers.processes_per_worker),
                     true};
  for (const auto& [name, node] : nodes_) listed.nodes.push_back(node);
  const bool resumes = record && HasTrained(seen.status);
  auto audit = OpenAudit(seen, !record);
  job.metrics = options_.metrics.Add(seen.ns);
  Reign::Options reign{std::move(listed),    kAdmittedToken,    seen.spec.checkpoint.path,
                       resumes ? 2 : 1,      std::move(record), std::move(audit),
                       *job.environment,     *job.metrics,      services.access.log,
                       services.access.clock};
  reign.status_every = Spread(kProgressEvery);
  reign.most_rescales = api::kMostRescales;
  reign.pods = std::exchange(job.pods, {});
  job.reign = std::make_unique<Reign>(std::move(reign));
  job.tended = false;
  job.repair_at = services.access.clock.Now() + Spread(options_.repair_every);
  job.reign->Begin();
}

void Shard::TurnAll() {
  const base::Time now = options_.services.access.clock.Now();
  for (auto it = jobs_.begin(); it != jobs_.end();) {
    Job& job = *it->second;
    const bool due = job.reign ? now >= std::min(job.reign->NextWake(), job.repair_at)
                               : job.look_again || job.open_at <= now;
    if (job.touched || due) Turn(job);
    job.touched = false;
    it = !job.seen && !job.opening && job.pods.empty() ? jobs_.erase(it) : std::next(it);
  }
}

void Shard::Turn(Job& job) {
  const base::Time now = options_.services.access.clock.Now();
  if (job.reign) {
    if (now >= job.repair_at) {
      job.repair_at = now + Spread(options_.repair_every);
      job.environment->RepairObjects();
    }
    job.reign->Turn();
    if (!job.reign->ended()) {
      if (now - job.open_at > kMostWait) job.deposed = 0;
      return;
    }
    options_.services.access.log.Warning("operator", "a reign has ended and begins anew",
                                         {{"job", job.seen->job.ns + "/" + job.seen->job.name},
                                          {"reason", base::Message(*job.reign->ended())}});
    EndReign(job);
    job.open_at =
        now + std::min<base::Duration>(kFirstWait * (1 << std::min(job.deposed++, 8)), kMostWait);
    return;
  }
  if (!job.seen || job.over || !lists_complete_) return;
  if (job.opening || now < job.open_at) return;
  if (job.NeedsNoReign()) return TendEnded(job);
  if (!job.BeganThus()) return Hold(job);
  Open(job);
}

// A job that had ended before this process came, and whose members have, needs no reign: what is left
// of it is cleared away as the plan says.
void Shard::TendEnded(Job& job) {
  const KubeServices& services = options_.services;
  const bool due = job.look_again && services.access.clock.WallNow() >= *job.look_again;
  if (job.tended && !job.touched && !due) return;
  job.tended = true;
  if (!job.environment) {
    job.environment =
        std::make_unique<KubeEnvironment>(services, JobOf(job.seen), nullptr, [](const Input&) {});
    job.environment->PutObjects();
    job.environment->KeepHistory(job.seen->job.status);
    job.metrics = options_.metrics.Add(job.seen->job.ns);
    job.metrics->Publish(FactsOf(job.seen->job, job.seen->job.status));
  }
  job::Observed observed;
  observed.job = job.seen->job;
  observed.on_cluster = true;
  for (const job::SharedPod& pod : job.pods) observed.pods.push_back(*pod);
  const job::Plan plan = job::MakePlan(observed, services.access.clock.WallNow());
  for (const job::DeletePod& wanted : plan.deletes) job.environment->DeletePod(wanted);
  if (plan.delete_job) job.environment->DeleteJob(*plan.delete_job);
  job.look_again = plan.look_again;
}

base::Time Shard::NextWake() const {
  const runtime::Clock& clock = options_.services.access.clock;
  const base::Time now = clock.Now();
  base::Time wake = now + kIdle;
  for (const auto& [uid, job] : jobs_) {
    if (job->reign) {
      wake = std::min({wake, job->reign->NextWake(), job->repair_at});
    } else if (lists_complete_ && job->seen && !job->over && !job->opening &&
               !job->NeedsNoReign()) {
      wake = std::min(wake, std::max(job->open_at, now + std::chrono::milliseconds(1)));
    } else if (job->look_again) {
      wake = std::min(wake, now + std::max<base::Duration>(*job->look_again - clock.WallNow(),
                                                           std::chrono::milliseconds(10)));
    }
  }
  return wake;
}

}  // namespace muster::app
