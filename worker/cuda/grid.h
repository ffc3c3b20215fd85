// The grid of a pass over a vector, which thread does which elements, and how what they found is
// merged. Only for kernels of the module's own sources.
//
// All passes wait for memory: enough threads to have many loads in flight on every GPU that is
// supported, and so few blocks that the atomics at their ends do not count. The shape is fixed and
// changes no bit: what is merged is integers. Thread rule: pure; on the device as launch.h says.
#pragma once

#include <cstdint>

#include "worker/cuda/fixed_point.h"
#include "worker/cuda/launch.h"
#include "worker/cuda/module.h"

namespace muster::cuda {

constexpr int kPassThreads = 256;
constexpr std::int64_t kMostPassBlocks = 1024;
constexpr unsigned kWholeWarp = 0xffffffffu;

inline Grid GridFor(std::int64_t length) {
  const std::int64_t blocks = (length + kPassThreads - 1) / kPassThreads;
  Grid grid;
  grid.blocks = static_cast<unsigned>(blocks < kMostPassBlocks ? blocks : kMostPassBlocks);
  grid.threads = kPassThreads;
  return grid;
}

inline __device__ Share MyShare(std::int64_t length) {
  Share share;
  share.first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  share.stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  share.count = length;
  return share;
}

// Flags and maxima merge in any order. All threads of the warp take part.
inline __device__ void MergeFlags(const Told& mine, MusterCudaTold* total) {
  const unsigned flags = __reduce_or_sync(kWholeWarp, mine.flags);
  const unsigned max_abs = __reduce_max_sync(kWholeWarp, mine.max_abs);
  if (threadIdx.x % 32 == 0) {
    if (flags != 0) atomicOr(&total->flags, flags);
    atomicMax(&total->max_abs, max_abs);
  }
}

}  // namespace muster::cuda
