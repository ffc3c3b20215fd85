#include "tests/worker/nccl/standin/rules.h"

#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <iterator>
#include <system_error>

namespace muster::standin {
namespace {

constexpr const char* kVariables[] = {
    "MUSTER_STANDIN_NCCL_HANG_INIT", "MUSTER_STANDIN_NCCL_HANG_COLLECTIVE",
    "MUSTER_STANDIN_NCCL_HANG_ABORT", "MUSTER_STANDIN_NCCL_BREAK_COLLECTIVE"};

bool ReadNumber(const std::string& text, int least, int* number) {
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && at == end && *number >= least;
}

}  // namespace

void EndForBreach(const std::string& sentence) {
  const std::string line = "muster's stand-in for NCCL: " + sentence + "\n";
  // Should it not be written, the code still tells.
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) ::_exit(kBreachCode);
  ::_exit(kBreachCode);
}

bool ReadWhen(const std::string& text, When* when) {
  const auto at = text.find('@');
  if (!ReadNumber(text.substr(0, at), 1, &when->time)) return false;
  return at == std::string::npos || ReadNumber(text.substr(at + 1), 0, &when->rank);
}

namespace {

bool IsTheTime(std::size_t which, int rank) {
  static std::atomic<int> counts[std::size(kVariables)];
  const int now = ++counts[which];
  const char* const value = std::getenv(kVariables[which]);
  if (value == nullptr || *value == '\0') return false;
  When when;
  if (!ReadWhen(value, &when)) {
    EndForBreach(std::string(kVariables[which]) + " is \"" + value +
                 "\"; allowed are N (the Nth time, from 1) and N@R (only of rank R)");
  }
  return when.Is(now, rank);
}

}  // namespace

bool HasToHang(Call call, int rank) { return IsTheTime(static_cast<std::size_t>(call), rank); }

bool HasToBreak(int rank) { return IsTheTime(std::size(kVariables) - 1, rank); }

int DescriptorsToLeak() {
  const char* const value = std::getenv("MUSTER_STANDIN_NCCL_LEAK");
  int count = 0;
  if (value != nullptr && *value != '\0' && !ReadNumber(value, 0, &count)) {
    EndForBreach(std::string("MUSTER_STANDIN_NCCL_LEAK is \"") + value +
                 "\"; allowed is a number of descriptors that each init leaves open");
  }
  return count;
}

}  // namespace muster::standin
