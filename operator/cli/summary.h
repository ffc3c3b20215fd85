// How a run ended, for people: pure text from what the cluster said last.
#pragma once

#include <string>
#include <vector>

#include "operator/cli/options.h"
#include "operator/cli/run_state.h"
#include "operator/local/cluster.h"

namespace muster::cli {

// The lines of the end: result, held-out loss beside the trigram's, changes of membership, or why
// not.
std::vector<std::string> SummaryLines(const local::Outcome& outcome, const RunState& state,
                                      const std::string& resume_command, bool quiet);

// The table of changes of membership; none: no lines.
std::vector<std::string> RescaleLines(const api::TrainingJobStatus& status);

// 0, 1, 2 or 130, as options.h has them.
int ExitStatus(const local::Outcome& outcome);

}  // namespace muster::cli
