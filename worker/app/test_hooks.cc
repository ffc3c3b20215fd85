#include "worker/app/test_hooks.h"

#include <charconv>

namespace muster::app {
namespace {

bool ReadNumber(std::string_view text, std::int64_t least, std::int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= least;
}

absl::Status ApplyHook(std::string_view hook, TestHooks& hooks) {
  const auto equals = hook.find('=');
  const std::string_view key = hook.substr(0, equals);
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view() : hook.substr(equals + 1);
  if (key == "saturate") {
    if (std::int64_t step = 0; ReadNumber(value, 1, step)) {
      hooks.saturate_once = base::Step(step);
      return absl::OkStatus();
    }
  } else if (key == "build-id" && !value.empty()) {
    hooks.build_id = value;
    return absl::OkStatus();
  } else if (key == "family" && !value.empty()) {
    hooks.family = value;
    return absl::OkStatus();
  } else if (key == "leak-fds") {
    if (std::int64_t limit = 0; ReadNumber(value, 0, limit)) {
      hooks.leak_fds = limit;
      return absl::OkStatus();
    }
  } else if (key == "slow-disk") {
    if (std::int64_t ms = 0; ReadNumber(value, 1, ms)) {
      hooks.slow_disk = std::chrono::milliseconds(ms);
      return absl::OkStatus();
    }
  }
  return base::InvalidArgument(
      "MUSTER_TEST_HOOKS: '" + std::string(hook) +
      "' is not saturate=STEP, build-id=TEXT, family=NAME, leak-fds=N or slow-disk=MS");
}

}  // namespace

absl::StatusOr<TestHooks> ParseTestHooks(std::string_view text) {
  TestHooks hooks;
  while (!text.empty()) {
    const auto comma = text.find(',');
    MUSTER_RETURN_IF_ERROR(ApplyHook(text.substr(0, comma), hooks));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return hooks;
}

}  // namespace muster::app
