// How training goes, from the commits that were reported: loss, tokens a second, time left. A
// value.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/ids.h"
#include "operator/base/time.h"
#include "operator/membership/machine.h"

namespace muster::app {

class ProgressMeter {
 public:
  // `reached`: the step that the coordinators before this one told of.
  explicit ProgressMeter(base::Step reached = {}) : reached_(reached) {}

  void OnStep(base::Time now, const membership::StepCommitted& step);
  void OnHeldOut(const membership::HeldOut& held_out) { held_out_ = held_out.loss; }
  // True when steps that were told of are undone. A first view that takes up what the run before
  // left goes back from nothing, which is no news.
  bool OnRolledBack(base::Step step);

  // `written` is what an earlier coordinator wrote: it holds until something newer is known.
  api::Progress Make(const api::Progress& written, std::int64_t steps, base::Step committed,
                     base::WallTime now) const;
  // Steps and tokens committed since the job's first; steps that come a second time count again.
  // None before the first commit of this reign: every step of a job has as many.
  std::optional<std::int64_t> steps_total() const { return steps_total_; }
  std::optional<std::int64_t> tokens_total() const { return tokens_total_; }
  std::optional<double> loss() const { return loss_; }
  double TokensPerSecond() const;

 private:
  struct Sample {
    base::Time time;
    base::Step step;
    std::int64_t tokens_total = 0;
  };
  // Long enough to smooth a rescale, short enough to show one.
  static constexpr base::Duration kWindow = std::chrono::seconds(10);

  std::deque<Sample> samples_;
  base::Step reached_;
  std::optional<std::int64_t> steps_total_;
  std::optional<std::int64_t> tokens_total_;
  std::optional<double> loss_;
  std::optional<double> held_out_;
};

}  // namespace muster::app
