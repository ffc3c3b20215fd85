// Hooks that tests use to bring about what cannot be waited for. Inert unless MUSTER_TEST_HOOKS is
// set.
//
//   saturate=STEP       Exact32: pretend that the first attempt of STEP saturated
//   build-id=TEXT       say another build id
//   family=NAME         claim to run only this kernel family
//   leak-fds=N          start again when rebuilds of NCCL have left more than N descriptors open
//   slow-disk=MS        each part of a checkpoint is written so many milliseconds later
//   Several are joined by commas.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "operator/base/ids.h"
#include "operator/base/status.h"

namespace muster::app {

struct TestHooks {
  base::Step saturate_once{-1};
  std::string build_id;
  std::string family;
  std::int64_t leak_fds = -1;  // below 0: the limit that is built in
  std::chrono::milliseconds slow_disk{0};
};

// InvalidArgument names the part that is not a hook.
absl::StatusOr<TestHooks> ParseTestHooks(std::string_view text);

}  // namespace muster::app
