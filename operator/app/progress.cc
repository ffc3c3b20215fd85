#include "operator/app/progress.h"

#include "operator/api/quantity.h"

namespace muster::app {

void ProgressMeter::OnStep(base::Time now, const membership::StepCommitted& step) {
  // A coordinator knows the steps before its first one by their number alone.
  steps_total_ = steps_total_ ? *steps_total_ + 1 : step.step.value;
  tokens_total_ = tokens_total_ ? *tokens_total_ + step.tokens : step.step.value * step.tokens;
  loss_ = step.loss;
  reached_ = step.step;
  samples_.push_back({now, step.step, *tokens_total_});
  while (samples_.size() > 2 && now - samples_.front().time > kWindow) samples_.pop_front();
}

bool ProgressMeter::OnRolledBack(base::Step step) {
  // Steps that come a second time would make the speed of the window meaningless.
  samples_.clear();
  if (step >= reached_) return false;
  reached_ = step;
  return true;
}

double ProgressMeter::TokensPerSecond() const {
  if (samples_.size() < 2) return 0;
  const double seconds = base::ToSeconds(samples_.back().time - samples_.front().time);
  const auto tokens =
      static_cast<double>(samples_.back().tokens_total - samples_.front().tokens_total);
  return seconds > 0 ? tokens / seconds : 0;
}

api::Progress ProgressMeter::Make(const api::Progress& written, std::int64_t steps,
                                  base::Step committed, base::WallTime now) const {
  api::Progress progress = written;
  progress.step = committed.value;
  progress.steps = steps;
  if (loss_) progress.loss = api::FormatNumber(*loss_);
  if (held_out_) progress.held_out_loss = api::FormatNumber(*held_out_);
  progress.tokens_per_second = TokensPerSecond();
  progress.estimated_completion_time.reset();
  if (samples_.size() < 2 || committed.value >= steps) return progress;
  const auto done = static_cast<double>(samples_.back().step.value - samples_.front().step.value);
  const double seconds = base::ToSeconds(samples_.back().time - samples_.front().time);
  if (done <= 0) return progress;
  const double left = static_cast<double>(steps - committed.value) * seconds / done;
  // Whole seconds: nobody reads more out of an estimate.
  const base::Duration rounded = std::chrono::seconds(static_cast<std::int64_t>(left + 0.5));
  progress.estimated_completion_time =
      std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()) + base::WallTime() + rounded;
  return progress;
}

}  // namespace muster::app
