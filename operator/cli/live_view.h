// A run as a screenful of lines: what a terminal shows while it trains. Pure: state in, lines out.
#pragma once

#include <string>
#include <vector>

#include "operator/cli/run_state.h"

namespace muster::cli {

// No line is wider than `width` columns, and there are at most `height` of them.
std::vector<std::string> LiveLines(const RunState& state, std::size_t width, std::size_t height);

// "██████░░░░": filled in proportion.
std::string Bar(double share, std::size_t width);

}  // namespace muster::cli
