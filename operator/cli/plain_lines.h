// A run as plain lines, for a pipe and for the memory of a live view.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/time.h"
#include "operator/cli/run_state.h"

namespace muster::cli {

// What Ctrl-C has begun, and how to have it otherwise.
inline constexpr std::string_view kDrainingText =
    "stopping: the step is finished and the state committed (Ctrl-C again ends at once)";

// What is told about an event; empty when a person need not hear of each.
std::string EventLine(const local::LocalEvent& event);

// The last lines of a worker that died by itself, indented; empty for all other events and ends.
std::vector<std::string> LastWords(const local::LocalEvent& event);

// "step 120/300  loss 2.3105  51.2k tokens/s  4 members  2m10s left".
std::string ProgressLine(const RunState& state);

// "[   12.3 s] ": how long the run has lasted.
std::string Stamp(const RunState& state);

// "detect 12 + agree 3 + rebuild 20 + synchronise 0 + recompute 35 ms".
std::string PhasesText(const api::Rescale& rescale);

std::string_view PhaseText(api::MemberPhase phase);

// When a progress line is due: the first step, then every few seconds.
class ProgressTimer {
 public:
  bool Due(const RunState& state);

 private:
  std::optional<base::Time> last_;
};

}  // namespace muster::cli
