// The GPUs of a machine that has none: how many there are and how large, from the environment. The
// driver's stand-in and the emulator (tests/worker/cuda/simt) both take them from here, so that each
// GPU which the one names is one that the other has.
//
//   MUSTER_STANDIN_GPUS       how many, 0 to 64; 1 where it is not set
//   MUSTER_STANDIN_GPU_BYTES  the memory of each, 1 to 2^40; 4 GiB where it is not set
//
// Another value ends the process with a sentence and code 99. Thread rule: any thread, while none
// writes the environment.
#pragma once

#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <system_error>

namespace muster::standin {

inline constexpr char kGpuName[] = "MUSTER emulated GPU";

inline std::int64_t NumberOf(const char* variable, std::int64_t least, std::int64_t most,
                             std::int64_t unset) {
  const char* const value = std::getenv(variable);
  if (value == nullptr) return unset;
  const std::string text = value;
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  if (read.ec == std::errc() && read.ptr == end && number >= least && number <= most) return number;
  const std::string line = std::string(variable) + " is \"" + text +
                           "\"; allowed is a number from " + std::to_string(least) + " to " +
                           std::to_string(most) + "\n";
  // Should it not be written, the code still tells.
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) ::_exit(99);
  ::_exit(99);
}

inline int Gpus() { return static_cast<int>(NumberOf("MUSTER_STANDIN_GPUS", 0, 64, 1)); }
inline std::size_t GpuBytes() {
  constexpr std::int64_t kMost = std::int64_t{1} << 40, kUnset = std::int64_t{4} << 30;
  return static_cast<std::size_t>(NumberOf("MUSTER_STANDIN_GPU_BYTES", 1, kMost, kUnset));
}

}  // namespace muster::standin
