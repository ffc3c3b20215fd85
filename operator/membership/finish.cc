// How a job ends: succeeded (M12), drained, failed.
#include <algorithm>

#include "operator/api/quantity.h"
#include "operator/membership/state.h"

namespace muster::membership {
namespace {

// All have committed the last step and its held-out loss is known, where the program has one.
bool LastStepIsDone(const Core& core) {
  if (core.acked < core.LastStep()) return false;
  const bool has_held_out = core.config.spec.program.builtin == api::Builtin::kGpt;
  return !has_held_out || core.evaluated >= core.LastStep();
}

api::JobResult MakeResult(const Core& core, std::uint64_t digest) {
  api::JobResult made;
  made.digest = api::FormatHex64(digest);
  if (core.last_report && core.last_report->step == core.LastStep()) {
    made.loss = api::FormatNumber(core.last_report->loss);
  }
  if (core.evaluated >= core.LastStep()) made.held_out_loss = core.held_out_loss;
  return made;
}

}  // namespace

// Whether a checkpoint with its manifest may be committed now; with the last step goes the result.
bool Core::FinishStep(const PendingCheckpoint& pending,
                      std::optional<api::JobResult>* ended) const {
  if (pending.step < LastStep()) return true;
  if (!LastStepIsDone(*this)) return false;
  api::JobResult made = MakeResult(*this, pending.parts.begin()->second.state_digest);
  made.weights_digest = pending.manifest->weights_digest;
  *ended = made;
  return true;
}

// A change that was announced after the last step's reduction began is never switched to: the
// members of the view in force finish what is left to do.
bool Core::AnnouncedTooLate() const {
  return phase == Phase::kAnnounced && announced && acked >= LastStep();
}

void Core::AdvanceFinish() {
  if (!force) return;
  const bool too_late = AnnouncedTooLate();
  if (phase != Phase::kSettled && !too_late) return;
  if (!HasCheckpoints() && acked >= LastStep() && !result_to_write && !result) {
    if (!LastStepIsDone(*this)) return;
    result_to_write = MakeResult(*this, last_report ? last_report->digest : 0);
    return;
  }
  if (too_late) return;
  const std::vector<base::MemberId> ids = ForceMembers();
  const bool idle = std::all_of(ids.begin(), ids.end(), [&](base::MemberId id) {
    return Find(id)->phase == api::MemberPhase::kWaiting;
  });
  const base::Step done = record->checkpoint ? record->checkpoint->step : base::Step();
  const bool finishing = force->goal == api::ViewGoal::kFinish;
  const base::Step held(force->resume_step.value - 1);
  if (finishing && held < LastStep() && (done == held || !HasCheckpoints())) {
    if (below_min_over) {
      Fail("BelowMin", "below the minimum of members for too long; the state of step " +
                           std::to_string(held.value) + " is committed");
    } else if (draining) {
      Drained(held);
    }
    return;
  }
  // Everybody has stopped at the step that the record now names.
  const bool stopped = idle && std::all_of(ids.begin(), ids.end(), [&](base::MemberId id) {
                         return Find(id)->committed == done;
                       });
  if (draining && request && request->stop && done >= request->base && stopped &&
      done < LastStep()) {
    Drained(done);
  } else if (draining && !HasCheckpoints() && !finishing) {
    Drained(base::Step());
  }
}

void Core::Succeed() {
  SendAcks();
  out.push_back(JobSucceeded{*result});
  End(api::Finish{true, "Succeeded", "all steps are done and the final state is committed"});
}

void Core::Drained(base::Step step) {
  out.push_back(JobDrained{step});
  End(api::Finish{true, "Drained",
                  "the state of step " + std::to_string(step.value) + " is committed"});
}

void Core::Fail(const std::string& reason, const std::string& message) {
  if (phase == Phase::kOver || phase == Phase::kDeposed) return;
  out.push_back(JobFailed{reason, message});
  End(api::Finish{false, reason, message});
}

void Core::End(const api::Finish& last_word) {
  finish = last_word;
  phase = Phase::kOver;
  formed.reset();
  checkpoint_to_write.reset();
  for (const auto& [id, m] : members) {
    if (!m.dead && !m.released) Say(m, last_word);
  }
  for (const Received& received : std::exchange(deferred, {})) OnReceived(received);
}

}  // namespace muster::membership
