#include "worker/app/options.h"

#include <charconv>

namespace muster::app {
namespace {

using Get = std::function<const char*(const char*)>;

absl::Status Required(const Get& get, const char* name, std::string& out) {
  const char* value = get(name);
  if (value == nullptr || *value == '\0') {
    return base::InvalidArgument(
        std::string(name) + " is not set; a worker is started by the operator or by `muster run`");
  }
  out = value;
  return absl::OkStatus();
}

absl::Status Number(const Get& get, const char* name, int least, int most, int& out) {
  const char* value = get(name);
  if (value == nullptr) return absl::OkStatus();
  const std::string text = value;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || out < least || out > most) {
    return base::InvalidArgument(std::string(name) + "='" + text + "' is not a number from " +
                                 std::to_string(least) + " to " + std::to_string(most));
  }
  return absl::OkStatus();
}

// Either the token itself or a file with it, and never a file's token in plain text.
absl::Status ReadToken(const Get& get, WorkerOptions& options) {
  if (const char* token = get("MUSTER_TOKEN")) options.token = token;
  if (const char* file = get("MUSTER_TOKEN_FILE")) options.token_file = file;
  if (const char* file = get("MUSTER_CA_FILE")) options.ca_file = file;
  if (options.token.empty() == options.token_file.empty()) {
    return base::InvalidArgument(
        std::string(options.token.empty() ? "neither" : "both") +
        " of MUSTER_TOKEN and MUSTER_TOKEN_FILE are set; exactly one is needed. A worker is "
        "started by the operator or by `muster run`");
  }
  if (!options.token_file.empty() && options.ca_file.empty()) {
    return base::InvalidArgument("MUSTER_TOKEN_FILE='" + options.token_file +
                                 "' needs MUSTER_CA_FILE: its token is not sent in plain text");
  }
  return absl::OkStatus();
}

std::vector<std::string> SplitByComma(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

absl::StatusOr<WorkerOptions> ReadWorkerOptions(const Get& get) {
  WorkerOptions options;
  std::string member;
  std::string coordinators;
  MUSTER_RETURN_IF_ERROR(Required(get, "MUSTER_JOB_UID", options.job_uid));
  MUSTER_RETURN_IF_ERROR(Required(get, "MUSTER_MEMBER", member));
  MUSTER_RETURN_IF_ERROR(ReadToken(get, options));
  MUSTER_RETURN_IF_ERROR(Required(get, "MUSTER_COORDINATOR", coordinators));
  auto id = base::ParseMemberId(member);
  if (!id.ok()) return base::Annotate(id.status(), "MUSTER_MEMBER");
  options.member = *id;
  options.coordinators = SplitByComma(coordinators);
  if (options.coordinators.empty()) {
    return base::InvalidArgument("MUSTER_COORDINATOR='" + coordinators +
                                 "' names no address; allowed is HOST:PORT[,HOST:PORT...]");
  }
  if (const char* name = get("MUSTER_JOB_NAME")) options.job_name = name;
  if (const char* node = get("MUSTER_NODE")) options.node = node;
  if (const char* host = get("MUSTER_BIND")) options.bind_host = host;
  if (const char* hooks = get("MUSTER_TEST_HOOKS")) options.test_hooks = hooks;
  MUSTER_RETURN_IF_ERROR(Number(get, "MUSTER_METRICS_PORT", -1, 65535, options.metrics_port));
  MUSTER_RETURN_IF_ERROR(Number(get, "MUSTER_THREADS", 1, 1024, options.threads));
  MUSTER_RETURN_IF_ERROR(Number(get, "MUSTER_PROCESS", 0, 1023, options.process));
  MUSTER_RETURN_IF_ERROR(Number(get, "MUSTER_PARENT_FD", -1, 1 << 20, options.parent_fd));
  if (const char* module = get("MUSTER_CUDA_MODULE")) options.cuda_module = module;
  int graphs = 1;
  MUSTER_RETURN_IF_ERROR(Number(get, "MUSTER_CUDA_GRAPHS", 0, 1, graphs));
  options.cuda_graphs = graphs == 1;
  int share = 0;
  MUSTER_RETURN_IF_ERROR(Number(get, "MUSTER_SHARE_GPUS", 0, 1, share));
  options.share_gpus = share == 1;
  return options;
}

}  // namespace muster::app
