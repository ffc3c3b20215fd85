// Where the wall time of a job went (docs/metrics.md): closed sums by state, and the state that
// runs now.
//
// A value; whoever holds it says what time it is. Nothing is lost when its holder dies: what runs
// since `since` is added by whoever goes on from the written status.
#pragma once

#include <map>
#include <string>

#include "operator/api/training_job.h"
#include "operator/base/time.h"

namespace muster::app {

class TimeLedger {
 public:
  explicit TimeLedger(api::TimeSeconds start = {}) : sums_(std::move(start)) {}

  // From `now` on the job is in `state`; an empty state is "unknown", which must stay rare.
  void Enter(std::string state, base::WallTime now);
  // Nothing runs any more.
  void Close(base::WallTime now);

  const api::TimeSeconds& sums() const { return sums_; }
  // Seconds by state up to `now`, the running one included.
  std::map<std::string, double> Totals(base::WallTime now) const;

 private:
  api::TimeSeconds sums_;
};

}  // namespace muster::app
