// What the machine commands, done in order (M1: what must be persisted first, it commands first).
#include <signal.h>

#include <chrono>
#include <thread>

#include "operator/app/reign.h"
#include "operator/job/reasons.h"

namespace muster::app {

void Reign::Obey(membership::Command command) {
  std::visit([this](auto&& c) { Obey(std::move(c)); }, std::move(command));
}

void Reign::Obey(membership::Send send) {
  const bool interrupt = std::holds_alternative<api::Interrupt>(send.message.message);
  environment_.Send(send.stream, send.message);
  CountTowardsDeath(interrupt);
}

void Reign::Obey(membership::CloseStream close) { environment_.CloseStream(close.stream); }

void Reign::Obey(membership::Persist persist) {
  environment_.Persist(std::move(persist));
  CountTowardsDeath(false);
}

// Test hook: the first reign ends itself after so many commands that follow its first Interrupt, so
// that a test can kill a coordinator at each message boundary of a rebuild.
void Reign::CountTowardsDeath(bool is_interrupt) {
  if (die_after_ < 0) return;
  if (!interrupted_) {
    interrupted_ = is_interrupt;
    return;
  }
  if (--die_after_ > 0) return;
  // What was commanded has to leave the process first: the boundary is after it.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  raise(SIGKILL);
}

void Reign::Obey(membership::StepCommitted step) {
  const Instant at = At();
  progress_.OnStep(at.now, step);
  if (audit_ != nullptr) {
    if (auto written = audit_->Append(step, at.wall); written.ok()) {
      own_events_.push_back(membership::AuditWritten{step.step});
    } else {
      // Not acknowledged, so the members keep it and the machine reports it again.
      log_.Error("audit", base::Message(written));
      environment_.Tell(job::Note{"cluster", base::Message(written)});
      if (absl::IsAborted(written)) ended_ = std::move(written);
    }
  }
  environment_.Tell(job::StepCommitted{step.step, step.epoch, step.loss, step.grad_norm,
                                       step.learning_rate, step.skipped, step.tokens, step.members,
                                       step.slots_computed});
}

void Reign::Obey(membership::HeldOut held_out) {
  progress_.OnHeldOut(held_out);
  environment_.Tell(
      job::HeldOut{held_out.step, held_out.loss, machine_.GetSnapshot(clock_.Now()).baseline_loss});
}

void Reign::Obey(membership::RolledBack rolled_back) {
  const bool news = progress_.OnRolledBack(rolled_back.step);
  if (audit_ != nullptr) {
    if (auto written = audit_->RollBack(rolled_back.step); !written.ok()) {
      log_.Error("audit", base::Message(written));
      if (absl::IsAborted(written)) ended_ = std::move(written);
    }
  }
  if (!news) return;
  log_.Warning("membership", "rolled back",
               {{"step", rolled_back.step}, {"reason", rolled_back.reason}});
  environment_.Tell(job::RolledBack{rolled_back.step, rolled_back.reason});
}

void Reign::Obey(membership::Evicted evicted) {
  urgent_ = true;
  observation_.OnEvicted(evicted);
  metrics_.OnEvicted(evicted.reason);
  log_.Warning("membership", "evicted",
               {{"member", evicted.member}, {"reason", evicted.reason}, {"why", evicted.message}});
  environment_.Tell(job::Evicted{evicted.member, evicted.node, evicted.reason, evicted.message});
}

void Reign::Obey(membership::RescaleDone done) {
  urgent_ = true;
  if (done.rescale.time == base::WallTime()) done.rescale.time = clock_.WallNow();
  metrics_.OnRescale(done.rescale);
  new_rescales_.push_back(done.rescale);
  log_.Info("membership", "rescaled",
            {{"epoch", done.rescale.epoch},
             {"cause", done.rescale.cause},
             {"from", done.rescale.from},
             {"to", done.rescale.to},
             {"stall_seconds", done.rescale.stall_seconds}});
  environment_.Tell(job::Rescaled{std::move(done.rescale)});
}

void Reign::Obey(membership::CheckpointDone done) {
  checkpoint_asked_at_ = clock_.Now();
  urgent_ = true;
  observation_.OnCheckpointProblem(std::nullopt);
  environment_.Tell(job::CheckpointDone{std::move(done.checkpoint)});
}

void Reign::Obey(membership::CheckpointAbandoned abandoned) {
  metrics_.OnCheckpointAbandoned(abandoned.no_space);
  log_.Warning("membership", "checkpoint abandoned",
               {{"step", abandoned.step}, {"reason", abandoned.reason}});
  // One that a loss broke is asked for again; one that the disk refused is a state people must see.
  if (abandoned.refused) {
    observation_.OnCheckpointProblem(job::Verdict{
        abandoned.no_space ? job::reasons::kNoSpaceLeft : job::reasons::kCheckpointFailed,
        "training goes on, but no checkpoint can be written: " + abandoned.reason});
    urgent_ = true;
  }
  environment_.Tell(job::CheckpointAbandoned{abandoned.step, abandoned.reason, abandoned.no_space,
                                             abandoned.refused});
}

void Reign::Obey(membership::DigestMismatch mismatch) {
  metrics_.OnDigestMismatch();
  log_.Error("membership", mismatch.message, {{"step", mismatch.step}});
  environment_.Tell(job::Note{"membership", mismatch.message});
}

void Reign::Obey(membership::JobSucceeded succeeded) {
  urgent_ = true;
  log_.Info("membership", "succeeded", {{"digest", succeeded.result.digest}});
}

void Reign::Obey(membership::JobDrained drained) {
  urgent_ = true;
  observation_.OnDrained();
  log_.Info("membership", "drained", {{"step", drained.step}});
}

void Reign::Obey(membership::JobFailed failed) {
  urgent_ = true;
  log_.Error("membership", "failed", {{"reason", failed.reason}, {"why", failed.message}});
  observation_.OnVerdict({std::move(failed.reason), std::move(failed.message)});
}

void Reign::Obey(membership::Note note) {
  log_.Info("membership", note.text);
  environment_.Tell(job::Note{"membership", std::move(note.text)});
}

}  // namespace muster::app
