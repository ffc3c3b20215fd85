// What was found when a GPU was looked for: values, so that choosing needs no GPU. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace muster::device {

struct Gpu {
  int ordinal = 0;  // the driver's number for it, after CUDA_VISIBLE_DEVICES
  std::string product;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  std::int64_t memory_bytes = 0;  // all of it, whoever uses it now
  friend bool operator==(const Gpu&, const Gpu&) = default;
};

struct NoDriver {  // nothing is installed, or nothing reaches into this container
  std::string why;
  friend bool operator==(const NoDriver&, const NoDriver&) = default;
};
struct BrokenDriver {  // it is there and does not start
  std::string why;
  friend bool operator==(const BrokenDriver&, const BrokenDriver&) = default;
};
struct WorkingDriver {
  int cuda_version = 0;  // the newest that it supports, as CUDA numbers it: 13000 is 13.0
  std::vector<Gpu> gpus;
  friend bool operator==(const WorkingDriver&, const WorkingDriver&) = default;
};
using DriverFindings = std::variant<NoDriver, BrokenDriver, WorkingDriver>;

struct NoModule {  // it is not there, or cannot be loaded
  std::string why;
  friend bool operator==(const NoModule&, const NoModule&) = default;
};
struct OtherModule {  // of another build than the program
  std::string why;
  friend bool operator==(const OtherModule&, const OtherModule&) = default;
};
struct RightModule {
  std::string architectures;  // "sm_80 sm_90 sm_100 compute_100"
  friend bool operator==(const RightModule&, const RightModule&) = default;
};
using ModuleFindings = std::variant<NoModule, OtherModule, RightModule>;

}  // namespace muster::device
