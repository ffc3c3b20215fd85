// A context as the module has it, and how a failed call of CUDA becomes a sentence. Only for the
// module's own sources. Thread rule: the context's.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdio>

#include "worker/cuda/module.h"

struct MusterCudaContext {
  int ordinal = 0;
  cudaStream_t stream = nullptr;
  // Of copies beside it (module_staging.h), and what one waits for of the other.
  cudaStream_t copies = nullptr;
  cudaEvent_t launched = nullptr, copied = nullptr;
};

namespace muster::cuda {

// What failed stays the thread's last error until it is asked for, and a launch that succeeds asks
// for it: without this it would be told the failure of an allocation before it.
inline void ForgetLastError() { (void)cudaGetLastError(); }

// 0, or the sentence "CALL: what CUDA says of it" and 1.
inline int32_t Say(const char* call, cudaError_t error, MusterCudaText message) {
  if (error == cudaSuccess) return 0;
  ForgetLastError();
  if (message.text != nullptr && message.size > 0) {
    std::snprintf(message.text, static_cast<std::size_t>(message.size), "%s: %s (%s)", call,
                  cudaGetErrorString(error), cudaGetErrorName(error));
  }
  return 1;
}

// `call` on the context's device, whatever the thread used before.
template <typename Call>
int32_t Do(const MusterCudaContext* context, const char* name, MusterCudaText message, Call call) {
  const int32_t failed = Say("cudaSetDevice", cudaSetDevice(context->ordinal), message);
  return failed != 0 ? failed : Say(name, call(), message);
}

}  // namespace muster::cuda
