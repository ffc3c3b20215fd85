// What the host's compiler and nvcc both need to read the arithmetic of this folder's kernels.
//
// The element functions of this folder are plain C++17 (CMake 3.25 knows no later standard for
// CUDA), so that tests on a machine without a GPU run the very functions that the kernels run.
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define MUSTER_BOTH __host__ __device__ __forceinline__
#else
#define MUSTER_BOTH inline
#endif

namespace muster::cuda {

MUSTER_BOTH std::uint32_t FloatBits(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

// SplitMix64, as operator/base/rng.h.
MUSTER_BOTH std::uint64_t Mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// What one thread of many does of a vector: elements first, first + stride, ... below count. The
// results of a vector are sums of integers mod 2^64, maxima and ors, so that neither the number of
// threads nor the order in which they end can be seen in them (E3).
struct Share {
  std::int64_t first = 0;
  std::int64_t stride = 1;
  std::int64_t count = 0;
};

}  // namespace muster::cuda
