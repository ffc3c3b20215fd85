// `muster operator`: from flags to operator/app.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>

#include "operator/base/status.h"
#include "operator/cli/options.h"

namespace muster::cli {

struct HostPort {
  std::string host;
  int port = 0;
};
// InvalidArgument names the flag, the value and what is allowed.
absl::StatusOr<HostPort> ParseHostPort(std::string_view flag, const std::string& text);

// Until it is told to stop; the exit status.
int RunOperatorCommand(const OperatorFlags& flags, std::ostream& err);

}  // namespace muster::cli
