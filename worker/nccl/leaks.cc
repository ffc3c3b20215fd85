#include "worker/nccl/leaks.h"

#include <system_error>

namespace muster::nccl {
namespace {

absl::StatusOr<std::int64_t> CountEntries(const std::filesystem::path& folder) {
  std::error_code error;
  std::int64_t count = 0;
  auto entry = std::filesystem::directory_iterator(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) ++count;
  if (error) return base::Unavailable("cannot list " + folder.string() + ": " + error.message());
  return count;
}

std::string Grown(const std::string& what, std::int64_t from, std::int64_t to, std::int64_t limit) {
  return what + " grew from " + std::to_string(from) + " to " + std::to_string(to) +
         ", by more than " + std::to_string(limit);
}

}  // namespace

LeakDecision DecideOnLeaks(const Usage& first, const Usage& now, const Rebuilds& rebuilds,
                           const LeakLimits& limits) {
  if (now.fds - first.fds > limits.more_fds) {
    return {true, Grown("open files", first.fds, now.fds, limits.more_fds)};
  }
  if (now.threads - first.threads > limits.more_threads) {
    return {true, Grown("threads", first.threads, now.threads, limits.more_threads)};
  }
  if (first.device_bytes > 0 && now.device_bytes - first.device_bytes > limits.more_device_bytes) {
    return {true, Grown("bytes of device memory", first.device_bytes, now.device_bytes,
                        limits.more_device_bytes)};
  }
  if (rebuilds.failed_inits > limits.failed_inits) {
    return {true, std::to_string(rebuilds.failed_inits) +
                      " inits failed in this process, more than " +
                      std::to_string(limits.failed_inits)};
  }
  if (rebuilds.unused_ids > limits.unused_ids) {
    return {true, std::to_string(rebuilds.unused_ids) +
                      " unique ids of this process were never used to the end, more than " +
                      std::to_string(limits.unused_ids)};
  }
  return {false, "what rebuilding left behind is within its limits"};
}

absl::StatusOr<Usage> ReadUsage(const std::filesystem::path& root) {
  Usage usage;
  MUSTER_ASSIGN_OR_RETURN(usage.fds, CountEntries(root / "fd"));
  MUSTER_ASSIGN_OR_RETURN(usage.threads, CountEntries(root / "task"));
  return usage;
}

}  // namespace muster::nccl
