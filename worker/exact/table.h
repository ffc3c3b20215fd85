// The tables behind KernelsFor, one a file, and the constants they share. Private to this folder.
#pragma once

#include <cstdint>

#include "worker/exact/fixed_point.h"

namespace muster::exact {

extern const Kernels kScalarKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;

inline constexpr std::uint32_t kChecksumStride = 0x9E3779B9u;
inline constexpr std::uint32_t kDigestStride1 = 0x9e3779b1u;
inline constexpr std::uint32_t kDigestStride2 = 0x85ebca77u;

}  // namespace muster::exact
