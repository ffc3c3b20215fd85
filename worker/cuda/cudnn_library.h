// cuDNN as it is found at run time: Muster neither ships it nor links to it. What was loaded stays
// until the process ends. Thread rule: any thread.
#pragma once

#include <cstdint>

#include "worker/cuda/cudnn_abi.h"
#include "worker/cuda/module.h"

namespace muster::cuda::cudnn {

inline constexpr const char* kLibraryName = "libcudnn.so.9";
// As cudnnGetVersion has it: 9.13.0, whose headers cudnn_abi.h was read from.
inline constexpr std::int64_t kOldest = 91300;
inline constexpr std::int64_t kNextMajor = 100000;

// False and a sentence: it is not there, too old, or lacks a function.
bool Open(const char* library, Functions& functions, MusterCudaText message);

}  // namespace muster::cuda::cudnn
