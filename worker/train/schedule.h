// The learning rate of a step: linear warm-up, then a cosine down to a tenth of the peak.
//
// Pure, and free of libm (E3): the same bits on every machine.
#pragma once

#include <cstdint>

namespace muster::train {

struct Schedule {
  double peak = 1e-3;
  std::int64_t warmup_steps = 0;
  std::int64_t steps = 1;  // of the whole job

  // Of step 1..steps. Step k of the warm-up has peak x k / warmup_steps; the last step has peak /
  // 10 (unless the warm-up is as long as the job). A skipped step moves the schedule on too (E5).
  double LearningRate(std::int64_t step) const;
};

}  // namespace muster::train
