#include "worker/nccl/environment.h"

#include <cstdlib>
#include <string_view>

namespace muster::nccl {
namespace {

constexpr Setting kSettings[] = {
    {"NCCL_COMM_BLOCKING", nullptr, Rule::kClear,
     "it overrides the config, and a blocking call cannot be left before it ends"},
    {"NCCL_COMM_ID", nullptr, Rule::kClear,
     "it is one fixed rendezvous, and each attempt needs an id of its own"},
    {"NCCL_NVLS_ENABLE", "0", Rule::kForce,
     "an abort with NVLink SHARP in use is reported to fail in a process that goes on"},
    {"NCCL_COLLNET_ENABLE", "0", Rule::kDefault, "it makes each rebuild longer"},
    {"NCCL_RAS_ENABLE", "0", Rule::kForce,
     "its threads and sockets diagnose what the coordinator decides, and later"},
    {"NCCL_GIN_ENABLE", "0", Rule::kForce,
     "device-initiated networking is not used, and setting it up makes each rebuild longer"},
    {"NCCL_RUNTIME_CONNECT", "0", Rule::kDefault,
     "connections are made in init, so that a peer that cannot be reached shows there"},
    {"NCCL_SOCKET_RETRY_CNT", "8", Rule::kDefault,
     "34 tries take about 60 s; 8 of 25 ms more each time take 0.9 s"},
    {"NCCL_SOCKET_RETRY_SLEEP_MSEC", "25", Rule::kDefault,
     "an abort is not looked at between two tries, so the pause has to be short"},
};

constexpr char kHostId[] = "NCCL_HOSTID";

constexpr Setting kSharedGpuSettings[] = {
    {kHostId, "muster-PID", Rule::kDefault,
     "two ranks with one host and one GPU are refused, so each process is a host"},
    {"NCCL_NET", "Socket", Rule::kDefault, "hosts meet by TCP"},
    {"NCCL_IB_DISABLE", "1", Rule::kDefault, "hosts meet by TCP"},
    {"NCCL_SOCKET_IFNAME", "=lo", Rule::kDefault, "they are all this machine"},
    {"NCCL_SOCKET_FAMILY", "AF_INET", Rule::kDefault, "they are all this machine"},
    {"NCCL_P2P_DISABLE", "1", Rule::kDefault, "a GPU is no peer of its own"},
    {"NCCL_SHM_DISABLE", "1", Rule::kDefault, "a GPU is no peer of its own"},
    {"NCCL_MNNVL_ENABLE", "0", Rule::kDefault, "a GPU is no peer of its own"},
    {"NCCL_NET_GDR_LEVEL", "LOC", Rule::kDefault, "sockets read memory of the host"},
    {"NCCL_ALGO", "Ring", Rule::kDefault, "the plainest one is reported to work"},
    {"NCCL_PROTO", "Simple", Rule::kDefault, "LL waits in loops, which time slices make slow"},
    {"NCCL_MIN_CTAS", "1", Rule::kDefault, "kernels of all processes share the GPU by time slices"},
    {"NCCL_MAX_CTAS", "2", Rule::kDefault, "kernels of all processes share the GPU by time slices"},
    {"NCCL_CGA_CLUSTER_SIZE", "0", Rule::kDefault, "so few blocks are no cluster"},
    {"NCCL_BUFFSIZE", "1048576", Rule::kDefault, "each process has its buffers on the one GPU"},
};

}  // namespace

std::span<const Setting> SharedGpuSettings() { return kSharedGpuSettings; }

std::vector<Change> MakeSharedGpuChanges(const Getenv& get, std::int64_t pid) {
  std::vector<Change> changes;
  for (const Setting& s : kSharedGpuSettings) {
    if (get(s.name)) continue;
    const bool own = std::string_view(s.name) == kHostId;
    changes.push_back({s.name, own ? "muster-" + std::to_string(pid) : s.value, s.reason});
  }
  return changes;
}

std::span<const Setting> ElasticSettings() { return kSettings; }

std::vector<Change> MakeChanges(const Getenv& get) {
  std::vector<Change> changes;
  for (const Setting& s : kSettings) {
    const std::optional<std::string> now = get(s.name);
    switch (s.rule) {
      case Rule::kClear:
        if (now) changes.push_back({s.name, std::nullopt, s.reason});
        break;
      case Rule::kForce:
        if (now != s.value) changes.push_back({s.name, s.value, s.reason});
        break;
      case Rule::kDefault:
        if (!now) changes.push_back({s.name, s.value, s.reason});
        break;
    }
  }
  return changes;
}

std::optional<std::string> ProcessEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

void ApplyToProcess(const std::vector<Change>& changes) {
  for (const Change& c : changes) {
    if (c.value) {
      ::setenv(c.name.c_str(), c.value->c_str(), 1);
    } else {
      ::unsetenv(c.name.c_str());
    }
  }
}

}  // namespace muster::nccl
