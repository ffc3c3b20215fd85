// Products by cuBLASLt, which is looked for at run time: Muster neither ships it nor links to it.
//
// For each shape the first algorithm that the library's heuristic names is taken and kept; nothing
// is timed (E3). What is asked of the heuristic depends on the shape alone: the workspace has a
// fixed size, and addresses count as aligned to 16 bytes whatever they are. So equal versions on
// equal GPUs choose alike.
//
// Its GELU is applied to the sum before that is rounded to bfloat16, and with a tanh of the
// library's own: bits differ from those of gelu.h. What was loaded stays until the process ends.
// Thread rule: Multiplier's.
#pragma once

#include <cstdint>
#include <memory>

#include "worker/cuda/matmul.h"

namespace muster::cuda {

inline constexpr const char* kCublasLtName = "libcublasLt.so.13";
inline constexpr std::int64_t kCublasLtOldest = 130000;  // as cublasLtGetVersion has it: 13.0
inline constexpr std::int64_t kCublasLtWorkspace = std::int64_t{32} << 20;

struct CublasLtOptions {
  const char* library = kCublasLtName;
  void* workspace = nullptr;  // of the device, kCublasLtWorkspace bytes, outlives the multiplier
};

// Null, and a sentence in `message`, where the library is not found or is of no use.
std::unique_ptr<Multiplier> MakeCublasLt(const CublasLtOptions& options, MusterCudaText message);

}  // namespace muster::cuda
