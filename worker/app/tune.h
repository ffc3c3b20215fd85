// `muster-worker tune layers=12 width=768 ...`: writes the table of matrix products for a job's
// spec.program.config.matmulTable.
//
// Thread rule: one thread, before anything else of the process.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

namespace muster::app {

// `settings` are those of spec.program.config, as NAME=NUMBER. The table goes to `out`, what went wrong
// to `err`. Returns the exit code: 0, 2 for bad settings, or that of a worker that finds no GPU.
int RunTune(const std::vector<std::string>& settings,
            const std::function<const char*(const char*)>& get, std::ostream& out,
            std::ostream& err);

}  // namespace muster::app
