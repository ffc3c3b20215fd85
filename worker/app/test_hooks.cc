#include "worker/app/test_hooks.h"

#include <charconv>

namespace muster::app {
namespace {

absl::Status ApplyHook(std::string_view hook, TestHooks& hooks) {
  const auto equals = hook.find('=');
  const std::string_view key = hook.substr(0, equals);
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view() : hook.substr(equals + 1);
  if (key == "saturate") {
    std::int64_t step = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), step);
    if (error == std::errc() && end == value.data() + value.size() && step > 0) {
      hooks.saturate_once = base::Step(step);
      return absl::OkStatus();
    }
  } else if (key == "build-id" && !value.empty()) {
    hooks.build_id = value;
    return absl::OkStatus();
  } else if (key == "family" && !value.empty()) {
    hooks.family = value;
    return absl::OkStatus();
  }
  if (key == "slow-disk") {
    std::int64_t ms = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), ms);
    if (error == std::errc() && end == value.data() + value.size() && ms > 0) {
      hooks.slow_disk = std::chrono::milliseconds(ms);
      return absl::OkStatus();
    }
  }
  return base::InvalidArgument(
      "MUSTER_TEST_HOOKS: '" + std::string(hook) +
      "' is not saturate=STEP, build-id=TEXT, family=NAME or slow-disk=MS");
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
