// Lost pods go by force: membership has fenced those that may still run, so nobody has to confirm
// their end, and a node that is gone cannot. What ended by itself stays on a cluster, the newest
// few, for its log.
#include <algorithm>

#include "operator/job/reasons.h"
#include "operator/job/rules.h"

namespace muster::job {
namespace {

// Uids of the finished pods that stay.
std::set<std::string> Kept(const Observed& observed, const Draft& draft) {
  std::vector<const Pod*> failed;
  for (const LostPod& lost : draft.lost) {
    const Pod& pod = *lost.pod;
    // What a node took with it has no log to be read.
    if (pod.phase == PodPhase::kFailed && !pod.infrastructure_loss) failed.push_back(&pod);
  }
  std::sort(failed.begin(), failed.end(), [](const Pod* a, const Pod* b) {
    return std::pair(b->finish_time, b->member) < std::pair(a->finish_time, a->member);
  });
  std::set<std::string> kept;
  for (const Pod* pod : failed) {
    if (observed.on_cluster && kept.size() < kKeptFailedPods) kept.insert(pod->uid);
  }
  return kept;
}

// When the loss was written down; now for what is lost only now.
base::WallTime LostSince(const Observed& observed, const Draft& draft, const Pod& pod) {
  const api::FailureEntry* loss = FindLoss(observed, draft.history, pod);
  return loss == nullptr ? draft.now : loss->time;
}

void DeleteLost(const Observed& observed, const LostPod& lost, Draft& draft) {
  const Pod& pod = *lost.pod;
  // Without a time of its end it is one machine's, which ends it itself.
  if (!lost.settled || (pod.deleting && !pod.deletion_time)) return;
  if (HasEnded(pod) && pod.deleting) return;
  // Volumes that attach to one node must not be taken from a process that still writes to them.
  if (observed.on_cluster && !HasEnded(pod)) {
    const base::WallTime due =
        LostSince(observed, draft, pod) + observed.job.spec.elasticity.lost_pod_grace_period;
    if (draft.now < due) {
      draft.LookAgain(due);
      return;
    }
  }
  draft.plan.deletes.push_back({pod.name, pod.uid, true, lost.reason, lost.message});
}

// Asked to go, and its grace is over: on a node that is gone nobody will ever say that it went.
void DeleteStuck(const Observed& observed, const Pod& pod, Draft& draft) {
  const Node* node = FindNode(observed, pod.node);
  const bool node_lost = node != nullptr && node->suspect();
  if (!pod.deletion_time || !node_lost) return;
  const bool planned =
      std::any_of(draft.plan.deletes.begin(), draft.plan.deletes.end(),
                  [&](const DeletePod& deletion) { return deletion.uid == pod.uid; });
  const KnownMember* member = FindMember(observed, pod.member);
  if (planned || (member != nullptr && member->in_view)) return;
  const base::WallTime due =
      *pod.deletion_time + kTerminationMargin + observed.job.spec.elasticity.lost_pod_grace_period;
  if (draft.now < due) {
    draft.LookAgain(due);
    return;
  }
  draft.plan.deletes.push_back({pod.name, pod.uid, true, reasons::kNotTerminated,
                                "its grace is over and node " + pod.node + " does not answer"});
}

}  // namespace

Next RuleLostPods(const Observed& observed, Draft& draft) {
  const std::set<std::string> kept = Kept(observed, draft);
  for (const LostPod& lost : draft.lost) {
    if (!kept.contains(lost.pod->uid)) DeleteLost(observed, lost, draft);
  }
  for (const Pod& pod : observed.pods) DeleteStuck(observed, pod, draft);
  return Next::kGoOn;
}

}  // namespace muster::job
