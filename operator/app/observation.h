// What the coordinator has observed: the job and its pods as the cluster told, and what became of
// members.
//
// One thread. Turns changes of pods into membership's events, and everything into what MakePlan
// reads.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "operator/base/status.h"
#include "operator/base/time.h"
#include "operator/job/changes.h"
#include "operator/job/observed.h"
#include "operator/membership/machine.h"

namespace muster::app {

// One instant on both clocks.
struct Instant {
  base::Time now;
  base::WallTime wall;
};

class Observation {
 public:
  // `resumes_reign`: another coordinator of this run was there before and may have formed views.
  // `shared`: pods beside those of the list.
  Observation(job::Listed listed, bool resumes_reign, job::Pods shared = {});

  // The cluster's words. What membership must hear of it at once comes back.
  std::vector<membership::Event> OnChange(const job::Change& change, const Instant& at);
  // M3's hints for members that do not know them yet: pods that are asked to go, nodes that are not
  // ready. Level-triggered, because a member may say hello after its pod's change was seen.
  std::vector<membership::Event> Hints(const membership::Snapshot& snapshot, const Instant& at);
  // Members that a record names and that have no pod: they are gone, whatever the record says.
  // Those of an earlier run have ended with it, which is nobody's loss.
  std::vector<membership::Event> LostMembers(const api::Record& record) const;

  void OnEvicted(const membership::Evicted& evicted);
  void OnLastWords(base::MemberId member, job::LastWords words);
  void OnListening(base::WallTime now) { listening_since_ = now; }
  void OnVerdict(job::Verdict verdict);
  void OnDrained() { drained_ = true; }
  void OnCheckpointProblem(std::optional<job::Verdict> problem) { problem_ = std::move(problem); }
  void OnStatusWritten(job::SharedStatus status) { status_ = std::move(status); }

  job::Observed Observe(const membership::Snapshot& snapshot, const Instant& at);

  // As the cluster told it last. Its status is ours, and the cluster's copy is never newer: status() is it.
  const api::TrainingJob& job() const { return *job_; }
  const api::TrainingJobStatus& status() const { return *status_; }
  job::Pods TakePods() { return std::move(pods_); }

 private:
  std::vector<membership::Event> OnPod(const job::SharedPod& pod);
  void OnJob(const job::SharedJob& job);
  void ReadSpec();
  void OnRefused(const job::PodRefused& refused, base::WallTime now);
  void OnNode(const job::Node& node);
  void SeeIncarnation(base::MemberId member);
  bool NamesNode(const std::string& node) const;
  void HintLeaving(const job::Pod& pod, const membership::MemberSnapshot& member, const Instant& at,
                   std::vector<membership::Event>& events);
  bool IsJudged(base::MemberId pod) const;
  base::MemberId PodOf(base::MemberId member) const;
  void SeeEvictions(base::WallTime now);

  job::SharedJob job_;
  job::SharedStatus status_;
  job::Pods pods_;
  std::map<std::int32_t, std::int32_t> highest_incarnation_;
  std::map<base::MemberId, job::Verdict> evicted_;
  std::map<base::MemberId, base::WallTime> evicted_at_;
  std::map<std::string, job::Node> nodes_;
  std::map<std::string, job::Refusal> refused_;  // by the pod's name
  std::string spec_hash_, template_hash_;
  absl::StatusOr<std::int64_t> worker_gpus_ = 0;
  const std::string reign_spec_hash_;
  // What membership was told: when the grace ends, and who was on a node that is not ready.
  std::map<base::MemberId, base::WallTime> told_leaving_;
  std::set<std::pair<std::string, base::MemberId>> told_suspect_;
  std::map<base::MemberId, job::LastWords> last_words_;
  std::optional<job::Verdict> verdict_;
  std::optional<job::Verdict> problem_;
  base::WallTime listening_since_;
  std::int32_t reached_ = 0;
  std::optional<std::int32_t> first_incarnation_;  // the epoch when this reign began
  const bool on_cluster_;
  const bool resumes_reign_;
  bool had_view_ = false;
  bool drained_ = false;
};

}  // namespace muster::app
