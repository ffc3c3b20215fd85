// Runs a program for what it prints, within a time and a size.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::kube {

struct ChildProgram {
  std::string command;  // with a slash a path, else looked up in PATH
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;  // beside our own; these win
};

// Its standard output. It has no input and our standard error. NotFound: there is no such program;
// FailedPrecondition: it ended with another status than 0; DeadlineExceeded, ResourceExhausted: it
// was killed, and with it its process group.
absl::StatusOr<std::string> OutputOf(const ChildProgram& program, base::Duration deadline,
                                     std::size_t most_bytes);

}  // namespace muster::kube
