// What NCCL's environment has to be while members come and go, and why.
//
// NCCL reads most of these once for a process, so they are set before its first call. In 2.28 it
// also reads a file, ~/.nccl.conf or /etc/nccl.conf, which this does not look at.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace muster::nccl {

enum class Rule {
  kForce,    // any other value breaks elasticity
  kDefault,  // a value that somebody set is theirs to answer for
  kClear,
};
struct Setting {
  const char* name;
  const char* value;  // null with kClear
  Rule rule;
  const char* reason;
};
std::span<const Setting> ElasticSettings();

// What has to be done to an environment, in the table's order; `reason` is for the log. Pure.
struct Change {
  std::string name;
  std::optional<std::string> value;  // nothing: unset
  std::string reason;
  friend bool operator==(const Change&, const Change&) = default;
};
using Getenv = std::function<std::optional<std::string>(const std::string& name)>;
std::vector<Change> MakeChanges(const Getenv& get);

// What lets several processes of one machine reduce on one GPU, which NCCL refuses: each is made to
// look like a machine of its own, and its peers are reached by sockets of the loopback device. For
// tests; slow, and nobody supports it (docs/nccl.md). What somebody has set stays. Pure.
std::span<const Setting> SharedGpuSettings();
std::vector<Change> MakeSharedGpuChanges(const Getenv& get, std::int64_t pid);

// Of this process. Before any other thread: nobody may read the environment meanwhile.
std::optional<std::string> ProcessEnvironment(const std::string& name);
void ApplyToProcess(const std::vector<Change>& changes);

}  // namespace muster::nccl
