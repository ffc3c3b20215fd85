// The end of the line by which members say what they compute on and reduce with (Warm::device): what
// the sums go by. Written by the worker, read by the coordinator.
#pragma once

#include <string_view>

namespace muster::api {

inline constexpr std::string_view kSumsByNccl = "sums by nccl";

inline bool ReducesByNccl(std::string_view device) { return device.ends_with(kSumsByNccl); }

}  // namespace muster::api
