// Commands that the training lane obeys: slots, apply, and where the state comes from.
#include <algorithm>
#include <deque>

#include "operator/base/check.h"
#include "worker/app/reductions.h"
#include "worker/app/worker.h"
#include "worker/checkpoint/reader.h"

namespace muster::app {
namespace {

// What a device has left is asked no more often: the driver may take a lock for it.
constexpr auto kDeviceReadings = std::chrono::seconds(10);

}  // namespace

void Worker::On(const session::ClearSums& c) {
  training_.Post([this, tag = c.tag] { job_->trainer->ClearSums(tag); });
}

void Worker::On(const session::ComputeSlots& c) {
  gate_.Open();
  training_.Post([this, c] { Compute(c); });
}

// Zeros without a device.
device::DeviceMemory Worker::ReadDeviceMemory() {
  device_read_ = Now();
  if (job_->accelerator.context == nullptr) return {};
  const device::DeviceMemory memory = job_->accelerator.context->ReadMemory();
  metrics_.DeviceMemory(memory);
  return memory;
}

// Behind each init of NCCL. Where several processes share a device its memory says nothing of this one.
void Worker::LookForLeaks(base::Epoch epoch) {
  const device::DeviceMemory memory = ReadDeviceMemory();
  auto usage = nccl::ReadUsage();
  if (!usage.ok()) return log_.Warning("leaks", base::Message(usage.status()));
  if (!options_.share_gpus) usage->device_bytes = memory.used;
  if (!first_usage_) {
    first_usage_ = *usage;
    return;
  }
  nccl::LeakLimits limits;
  if (hooks_.leak_fds >= 0) limits.more_fds = hooks_.leak_fds;
  const auto decision =
      nccl::DecideOnLeaks(*first_usage_, *usage, job_->accelerator.link->rebuilds(), limits);
  if (decision.start_again) Push(session::StartAgain{epoch, decision.reason});
}

void Worker::On(const session::StopCompute&) { gate_.Stop(); }

// Launch ahead: a device computes one slot while the next one is put on its stream. What was begun is
// finished, also behind StopCompute, and counts when it is (M4).
void Worker::Compute(const session::ComputeSlots& c) {
  std::deque<BegunSlot> begun;
  base::Time finished;
  const auto finish = [&] {
    finished = FinishSlot(c, begun.front(), finished);
    begun.pop_front();
  };
  for (const api::Slot slot : c.slots) {
    if (begun.size() == job_->trainer->slots_in_flight()) finish();
    if (!gate_.Enter([&] { Push(session::SlotBegun{c.tag, slot}); })) break;
    begun.push_back({slot, Now()});
    BeginSlot(c, slot);
  }
  while (!begun.empty()) finish();
  Push(session::ComputeStopped{c.tag});
}

void Worker::BeginSlot(const session::ComputeSlots& c, api::Slot slot) {
  train::SlotHooks hooks;
  // In mid-slot: the slot was begun (and said to be), its forward pass is done, nothing of it has
  // been added. A worker that dies here takes it along; one that is woken finishes it.
  // A device has to be waited for there, so it is done for those who armed something.
  if (breakpoints_.armed()) hooks.in_mid_slot = [&] { breakpoints_.At("forward", c.tag.step); };
  // The sum will be complete: its parts go to NCCL as the backward pass leaves them behind. All
  // members reduce the same parts, so each may do this or not. The view that this is for is over when
  // the communicator is of another one, and then it is not begun.
  nccl::Link* const link = job_->accelerator.link.get();
  if (link != nullptr && slot == c.slots.back() && c.ahead_in != base::Epoch() &&
      link->BeginAhead({c.ahead_in, c.tag.step, c.tag.attempt})) {
    has_reduced_on_device_ = true;
    hooks.part_ready = [&](const train::ReadyPart& part) {
      link->GiveAhead(ToReduction(part.vector), {part.event}, part.last);
      breakpoints_.At("overlap", c.tag.step);
    };
  }
  job_->trainer->BeginSlot(slot, hooks);
}

// Returns when it was done. Its time is counted from its begin or from the end of the one before,
// whichever was later: until then the device was not at it.
base::Time Worker::FinishSlot(const session::ComputeSlots& c, const BegunSlot& begun,
                              base::Time before) {
  session::SlotDone done{c.tag, begun.slot, 0, job_->trainer->FinishSlot()};
  const base::Time now = Now();
  done.seconds = base::ToSeconds(now - std::max(begun.at, before));
  log_.Debug("forward", "slot computed", {{"step", c.tag.step}, {"slot", begun.slot}});
  metrics_.SlotComputed(job_->flops_per_slot);
  metrics_.Phase("forward", done.seconds);
  Push(std::move(done));
  return now;
}

void Worker::On(const session::ApplyStep& c) {
  training_.Post([this, step = c.step] {
    job_->server->StopServing();  // nobody reads what is about to change
    breakpoints_.At("commit", step);
    const base::Time start = Now();
    const train::ApplyOutcome outcome = job_->trainer->Apply(step);
    metrics_.Phase("apply", base::ToSeconds(Now() - start));
    if (Now() - device_read_ >= kDeviceReadings) ReadDeviceMemory();
    session::Applied applied;
    applied.step = step;
    applied.digest = outcome.digest;
    applied.exponents = outcome.exponents;
    applied.loss = outcome.loss;
    applied.grad_norm = outcome.grad_norm;
    applied.learning_rate = outcome.learning_rate;
    applied.clipped = outcome.clipped;
    applied.skipped = outcome.skipped;
    applied.tokens = outcome.tokens;
    applied.offence = outcome.offence;
    for (const auto& [slot, samples] : outcome.samples) applied.samples.push_back({slot, samples});
    RememberStepLine(applied);
    Push(std::move(applied));
  });
}

void Worker::RememberStepLine(const session::Applied& applied) {
  const base::Time now = Now();
  StepLine line;
  line.step = applied.step;
  line.loss = applied.loss;
  line.grad_norm = applied.grad_norm;
  line.learning_rate = applied.learning_rate;
  line.clipped = applied.clipped;
  line.skipped = applied.skipped;
  line.members = view_size_.load();
  const double seconds = base::ToSeconds(now - last_applied_);
  if (seconds > 0) line.tokens_per_second = static_cast<double>(applied.tokens) / seconds;
  last_applied_ = now;
  if (job_->step_lines != nullptr) job_->step_lines->Remember(line);
  log_.Debug("commit", "committed",
             {{"step", applied.step},
              {"wallNanoseconds", clock_.WallNow().time_since_epoch().count()},
              {"loss", applied.loss}});
}

void Worker::On(const session::MakeFreshState&) {
  training_.Post([this] {
    OpenFailure failure;
    const auto digest = job_->start_weights.MakeFresh(*job_->trainer, &moved_, failure);
    if (!digest) {
      Push(session::Broken{failure.code, failure.reason, failure.message});
      return;
    }
    last_applied_ = Now();
    Push(session::StateMade{*digest, job_->trainer->ExponentsInForce()});
  });
}

void Worker::On(const session::RestoreState& c) {
  training_.Post([this, ref = c.checkpoint] {
    auto& trainer = *job_->trainer;
    job_->start_weights.Overwritten();
    const train::StateSpans state = trainer.engine().OpenState();
    auto header = checkpoint::LoadCheckpoint(job_->welcome.checkpoint_path, ref,
                                             {state[0], state[1], state[2]}, &moved_);
    if (!header.ok()) {
      Push(session::RestoreFailed{base::Message(header.status()),
                                  absl::IsDataLoss(header.status())});
      return;
    }
    trainer.engine().CloseState();
    const std::uint64_t digest =
        trainer.AdoptHeader({header->step, header->update_count, header->exponents});
    if (digest != header->state_digest) {
      Push(session::RestoreFailed{"the state of checkpoint step " + std::to_string(ref.step.value) +
                                  " has another digest than its manifest says"});
      return;
    }
    last_applied_ = Now();
    log_.Info("checkpoint", "restored", {{"step", header->step}});
    Push(session::StateRestored{digest, header->step, trainer.ExponentsInForce()});
  });
}

void Worker::On(const session::LearnStepTime& c) { metrics_.StepCommitted(c.seconds); }

}  // namespace muster::app
