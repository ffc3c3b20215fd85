#include "worker/parent/child_environment.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace muster::parent {
namespace {

constexpr int kMostPort = 65535;

absl::StatusOr<int> Number(std::string_view name, std::string_view text) {
  int number = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  if (read.ec == std::errc() && read.ptr == end) return number;
  return base::InvalidArgument(std::string(name) + "='" + std::string(text) +
                               "' is not a whole number");
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ChildEnvironment(const std::vector<std::string>& own,
                                                          const ChildId& child) {
  std::vector<std::string> out;
  for (const std::string& variable : own) {
    const std::size_t equals = variable.find('=');
    const std::string name = variable.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : variable.substr(equals + 1);
    if (name == "MUSTER_MEMBER" || name == "MUSTER_PROCESS" || name == "MUSTER_PROCESSES" ||
        name == "MUSTER_PARENT_FD") {
      continue;
    }
    if (name == "MUSTER_METRICS_PORT") {
      MUSTER_ASSIGN_OR_RETURN(int port, Number(name, value));
      if (port > 0) port += child.process;
      if (port > kMostPort) {
        return base::InvalidArgument(name + "=" + value + " leaves no port for process " +
                                     std::to_string(child.process) + "; at most " +
                                     std::to_string(kMostPort - child.process) + " is allowed");
      }
      out.push_back(name + "=" + std::to_string(port));
    } else if (name == "MUSTER_THREADS") {
      MUSTER_ASSIGN_OR_RETURN(const int threads, Number(name, value));
      out.push_back(name + "=" + std::to_string(std::max(1, threads / child.processes)));
    } else {
      out.push_back(variable);
    }
  }
  out.push_back("MUSTER_MEMBER=" + base::ToString(child.member));
  out.push_back("MUSTER_PROCESS=" + std::to_string(child.process));
  return out;
}

}  // namespace muster::parent
