// MakePlan: from what is observed to what is to be done, each part with its reason. Pure.
//
// The rules are an ordered chain, one file each (rules.h); a rule may end the chain:
//   ended -> verdict -> admission -> failure policy -> lost pods -> deadline -> below min -> suspend
//         -> drain -> replace -> scale up -> hold -> scale down -> target
// A repeated plan on the same observation is the same plan: names of pods are hashes of what they
// replace, so a repeated create is the same create.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/ids.h"
#include "operator/base/time.h"
#include "operator/job/observed.h"

namespace muster::job {

struct CreatePod {
  std::string name;
  base::MemberId member;
  std::string reason;
  std::string message;
  std::vector<std::string> avoid_nodes = {};  // a preference: where members were lost lately
  friend bool operator==(const CreatePod&, const CreatePod&) = default;
};

struct DeletePod {
  std::string name;
  std::string uid;
  bool force = false;  // at once: membership has already fenced it, or its process has ended
  std::string reason;
  std::string message;
  friend bool operator==(const DeletePod&, const DeletePod&) = default;
};

// How many members membership should work towards, and the least to train with.
struct Target {
  std::int32_t desired = 0;
  std::int32_t min = 1;
  friend bool operator==(const Target&, const Target&) = default;
};

struct Plan {
  std::vector<CreatePod> creates;
  std::vector<DeletePod> deletes;
  std::optional<Target> set_target;
  std::optional<Verdict> fail_job;  // tell membership that the job has failed
  bool drain = false;               // finish the step, commit the state, stop
  bool ended = false;               // nothing is left to do but to write the status
  // This reign is of no more use, and the job goes on with another: it was drained and is wanted
  // again, or its spec was changed before anything had started.
  bool new_reign = false;
  std::optional<Verdict> delete_job;        // ttlSecondsAfterFinished is over
  bool started = true;                      // false: nothing has been, status.startTime stays unset
  std::string spec_hash;                    // of the spec that the job trains by, for the status
  std::string template_hash;                // of the template that its pods are made from
  std::vector<api::FailureEntry> failures;  // new ones, to be appended to status.failures
  std::vector<base::MemberId> excused;      // entries there that turned out to be a node's loss
  api::JobState state = api::JobState::kPending;
  std::vector<api::Condition>
      conditions;  // without transition times: the status builder knows them
  std::optional<base::WallTime> look_again;  // when time alone will change the plan
  friend bool operator==(const Plan&, const Plan&) = default;
};

Plan MakePlan(const Observed& observed, base::WallTime now);
// Of a job whose spec cannot be read, which another release may have written: nothing is done, and
// all conditions say so. `why` is the reader's sentence.
Plan MakeUnreadablePlan(const api::TrainingJob& job, const std::string& why);

// `<job>-<ordinal>-<suffix>`; `replaces` is the uid of the pod it replaces, or empty.
std::string PodName(const api::TrainingJob& job, base::MemberId member,
                    const std::string& replaces);

}  // namespace muster::job
