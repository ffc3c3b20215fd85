#include "tests/worker/nccl/standin/rules.h"

#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <system_error>

namespace muster::standin {
namespace {

constexpr const char* kVariables[] = {"MUSTER_STANDIN_NCCL_HANG_INIT",
                                      "MUSTER_STANDIN_NCCL_HANG_COLLECTIVE",
                                      "MUSTER_STANDIN_NCCL_HANG_ABORT"};

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

bool HasToHang(Call call, int rank) {
  static std::atomic<int> counts[3];
  const auto which = static_cast<std::size_t>(call);
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

}  // namespace muster::standin
