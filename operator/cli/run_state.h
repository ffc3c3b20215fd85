// What a run looks like right now: local events folded into one value that the views draw.
//
// Pure: time comes with each call. One thread at a time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/time.h"
#include "operator/local/events.h"

namespace muster::cli {

struct RunState {
  std::string name;
  std::int64_t steps = 0;
  std::int32_t slots = 0;
  base::Time started;
  base::Time now;
  std::int64_t first_step = -1;  // committed when this run began; -1: nothing heard yet
  std::int64_t step = 0;         // committed
  double loss = 0;
  bool has_loss = false;
  double tokens_per_second = 0;  // over the last seconds
  double steps_per_second = 0;
  std::int64_t skipped = 0;
  std::optional<local::HeldOut> held_out;
  double baseline = 0;  // trigram; 0: none
  local::Live live;
  std::optional<api::Rescale> last_rescale;
  std::int64_t rescales = 0;
  std::optional<api::CheckpointRef> checkpoint;
  bool draining = false;
  std::vector<std::string> recent;  // the newest lines of events, at most kRecentLines

  // Commits of the last seconds: what rates are made of.
  struct Sample {
    base::Time at;
    std::int64_t step = 0;
    std::int64_t tokens = 0;
  };
  std::vector<Sample> samples;
};

inline constexpr std::size_t kRecentLines = 5;

RunState MakeRunState(const api::TrainingJob& job, base::Time now);

// Takes one event in.
void OnEvent(const local::LocalEvent& event, base::Time now, RunState& state);

// Seconds until the last step at the present speed; nothing while it is not known, or when it is
// done.
std::optional<double> SecondsLeft(const RunState& state);

}  // namespace muster::cli
